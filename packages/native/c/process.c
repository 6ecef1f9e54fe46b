/*
 * What a process may do: capabilities, root folder, core dumps; and the names of users, groups and interfaces.
 *
 * Ids belong to the process (glibc changes every thread), capabilities to the thread that calls. When the user id
 * leaves 0 the kernel takes all capabilities of every thread that has not set PR_SET_KEEPCAPS, and a thread that starts
 * later gets those of the thread that started it.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_SIZE 256
/* Space for one entry of passwd or group; a group with thousands of members needs it. */
#define ENTRY_SIZE (1 << 20)

/* (words: Uint32Array): effective, permitted and inheritable set of this thread, two words each, low word first. */
static napi_value capabilities_get(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    uint32_t *words;
    size_t room;
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    if (!seikan_arguments(env, info, argv, 1) || !seikan_words(env, argv[0], &words, &room)) return NULL;
    if (room < 6) return seikan_throw_range(env, "capability sets are six words");
    if (syscall(SYS_capget, &header, data) == -1) return seikan_throw_errno(env, "capget", errno);
    for (int i = 0; i < 2; i++) {
        words[i] = data[i].effective;
        words[2 + i] = data[i].permitted;
        words[4 + i] = data[i].inheritable;
    }
    return NULL;
}

/* (low, high): exactly these are effective and permitted in this thread from now on; none inheritable or ambient. */
static napi_value capabilities_set(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int64_t words[2];
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };

    if (!seikan_arguments(env, info, argv, 2)
        || !seikan_integer(env, argv[0], 0, UINT32_MAX, "low word", &words[0])
        || !seikan_integer(env, argv[1], 0, UINT32_MAX, "high word", &words[1]))
        return NULL;
    for (int i = 0; i < 2; i++) data[i].effective = data[i].permitted = (uint32_t)words[i];
    if (syscall(SYS_capset, &header, data) == -1) return seikan_throw_errno(env, "capset", errno);
    return NULL;
}

/* (on): whether this thread's permitted set outlives the change of the user id. */
static napi_value capabilities_keep(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    bool on;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_flag(env, argv[0], &on)) return NULL;
    return prctl(PR_SET_KEEPCAPS, (unsigned long)on, 0, 0, 0) == -1 ? seikan_throw_errno(env, "PR_SET_KEEPCAPS", errno)
                                                                    : NULL;
}

/* (low): no program that this thread executes later gets others than these of the first word, whatever its file says. */
static napi_value capabilities_bound(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int64_t low;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_integer(env, argv[0], 0, UINT32_MAX, "low word", &low))
        return NULL;
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if (capability < 32 && (low >> capability & 1) != 0) continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == -1) return seikan_throw_errno(env, "PR_CAPBSET_DROP", errno);
    }
    return NULL;
}

#define MOST_WORDS 256

/*
 * (words: string[], low): replaces this process by another program, whose threads all begin with these capabilities,
 * which this thread must have. Returns only by throwing. libuv marks the standard streams as not inherited.
 */
static napi_value process_execute(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int64_t low;
    uint32_t count = 0;
    char *words[MOST_WORDS + 1] = { NULL };
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };

    if (!seikan_arguments(env, info, argv, 2) || !seikan_integer(env, argv[1], 0, UINT32_MAX, "low word", &low))
        return NULL;
    if (napi_get_array_length(env, argv[0], &count) != napi_ok || count == 0 || count > MOST_WORDS)
        return seikan_throw_range(env, "one to 256 words are needed");
    bool copied = true;
    for (uint32_t i = 0; copied && i < count; i++) {
        napi_value word;
        size_t size;
        copied = napi_get_element(env, argv[0], i, &word) == napi_ok
            && napi_get_value_string_utf8(env, word, NULL, 0, &size) == napi_ok
            && (words[i] = malloc(size + 1)) != NULL
            && napi_get_value_string_utf8(env, word, words[i], size + 1, &size) == napi_ok;
    }
    const char *call = "execv";
    int error = copied ? 0 : EINVAL;
    data[0].effective = data[0].permitted = data[0].inheritable = (uint32_t)low;
    if (error == 0 && syscall(SYS_capset, &header, data) == -1) {
        call = "capset";
        error = errno;
    }
    for (int capability = 0; error == 0 && capability < 32; capability++) {
        if ((low >> capability & 1) == 0) continue;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == -1) {
            call = "PR_CAP_AMBIENT_RAISE";
            error = errno;
        }
    }
    if (error == 0) {
        for (int fd = 0; fd < 3; fd++) fcntl(fd, F_SETFD, 0);
        execv(words[0], words);
        error = errno;
    }
    for (uint32_t i = 0; i < count; i++) free(words[i]);
    return seikan_throw_errno(env, call, error);
}

/* (on): whether the process leaves core dumps and may be traced by its user. */
static napi_value process_set_dumpable(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    bool on;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_flag(env, argv[0], &on)) return NULL;
    return prctl(PR_SET_DUMPABLE, (unsigned long)on, 0, 0, 0) == -1 ? seikan_throw_errno(env, "PR_SET_DUMPABLE", errno)
                                                                    : NULL;
}

/* (path): this folder is / from now on, for every thread, and the working directory. */
static napi_value process_change_root(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    char path[4096];

    if (!seikan_arguments(env, info, argv, 1) || !seikan_string(env, argv[0], path, sizeof path, "path")) return NULL;
    if (chroot(path) == -1) return seikan_throw_errno(env, "chroot", errno);
    return chdir("/") == -1 ? seikan_throw_errno(env, "chdir", errno) : NULL;
}

/* (name) → { uid, gid, name }, or undefined when there is no such user. A name of digits is an id. */
static napi_value user_lookup(napi_env env, napi_callback_info info)
{
    napi_value argv[1], object, value;
    char name[NAME_SIZE], *end;
    struct passwd entry, *found = NULL;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_string(env, argv[0], name, sizeof name, "user")) return NULL;
    char *space = malloc(ENTRY_SIZE);
    if (space == NULL) return seikan_throw_errno(env, "malloc", ENOMEM);
    int error = getpwnam_r(name, &entry, space, ENTRY_SIZE, &found);
    unsigned long id = strtoul(name, &end, 10);
    if (found == NULL && name[0] >= '0' && name[0] <= '9' && *end == '\0' && id < UINT32_MAX)
        error = getpwuid_r((uid_t)id, &entry, space, ENTRY_SIZE, &found);
    if (found == NULL) {
        free(space);
        /* The lookup says "no such user" with any of these. */
        return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM
            ? NULL
            : seikan_throw_errno(env, "getpwnam_r", error);
    }
    bool made = napi_create_object(env, &object) == napi_ok
        && napi_create_uint32(env, found->pw_uid, &value) == napi_ok
        && napi_set_named_property(env, object, "uid", value) == napi_ok
        && napi_create_uint32(env, found->pw_gid, &value) == napi_ok
        && napi_set_named_property(env, object, "gid", value) == napi_ok
        && napi_create_string_utf8(env, found->pw_name, NAPI_AUTO_LENGTH, &value) == napi_ok
        && napi_set_named_property(env, object, "name", value) == napi_ok;
    free(space);
    return made ? object : NULL;
}

/* (name) → group id, or undefined when there is no such group. A name of digits is an id, of a group that exists or not. */
static napi_value group_lookup(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    char name[NAME_SIZE], *end;
    struct group entry, *found = NULL;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_string(env, argv[0], name, sizeof name, "group")) return NULL;
    char *space = malloc(ENTRY_SIZE);
    if (space == NULL) return seikan_throw_errno(env, "malloc", ENOMEM);
    int error = getgrnam_r(name, &entry, space, ENTRY_SIZE, &found);
    int64_t gid = found == NULL ? -1 : (int64_t)found->gr_gid;
    free(space);
    if (gid == -1 && name[0] >= '0' && name[0] <= '9') {
        unsigned long id = strtoul(name, &end, 10);
        if (*end == '\0' && id < UINT32_MAX) gid = (int64_t)id;
    }
    if (gid != -1) return seikan_make_number(env, gid);
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM
        ? NULL
        : seikan_throw_errno(env, "getgrnam_r", error);
}

/* (user, gid, groups: Uint32Array) → how many groups the user is in, `gid` among them; those that fit are written. */
static napi_value group_list(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    char name[NAME_SIZE];
    int64_t gid;
    uint32_t *groups;
    size_t room;

    if (!seikan_arguments(env, info, argv, 3) || !seikan_string(env, argv[0], name, sizeof name, "user")
        || !seikan_integer(env, argv[1], 0, UINT32_MAX - 1, "group", &gid)
        || !seikan_words(env, argv[2], &groups, &room))
        return NULL;
    int count = room > INT32_MAX ? INT32_MAX : (int)room;
    getgrouplist(name, (gid_t)gid, groups, &count);
    return seikan_make_number(env, count);
}

/* (name) → interface index, 0 when there is none. */
static napi_value interface_index(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    char name[NAME_SIZE];

    if (!seikan_arguments(env, info, argv, 1) || !seikan_string(env, argv[0], name, sizeof name, "interface"))
        return NULL;
    return seikan_make_number(env, if_nametoindex(name));
}

/* (index) → interface name, or undefined when there is none. */
static napi_value interface_name(napi_env env, napi_callback_info info)
{
    napi_value argv[1], value;
    int64_t index;
    char name[IF_NAMESIZE];

    if (!seikan_arguments(env, info, argv, 1)
        || !seikan_integer(env, argv[0], 0, UINT32_MAX, "interface index", &index)
        || if_indextoname((unsigned)index, name) == NULL)
        return NULL;
    return napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &value) == napi_ok ? value : NULL;
}

bool seikan_register_process(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "capabilitiesGet", capabilities_get },
        { "capabilitiesSet", capabilities_set },
        { "capabilitiesKeep", capabilities_keep },
        { "capabilitiesBound", capabilities_bound },
        { "processExecute", process_execute },
        { "processSetDumpable", process_set_dumpable },
        { "processChangeRoot", process_change_root },
        { "userLookup", user_lookup },
        { "groupLookup", group_lookup },
        { "groupList", group_list },
        { "interfaceIndex", interface_index },
        { "interfaceName", interface_name },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
