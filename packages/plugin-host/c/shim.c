/*
 * The shared library that carries a TypeScript plugin into an unmodified OpenVPN 2.x: the half that OpenVPN calls.
 *
 *     OpenVPN ── this ──socket──▶ supervisor (fork, no exec) ──socket──▶ node, running the bundled plugin
 *
 * Every call is one frame to the supervisor and a wait for its reply, bounded by a deadline. Nothing of node is in
 * OpenVPN's process; no signal, handler or descriptor of OpenVPN is changed. All state is per handle, since two
 * `plugin` lines with the same file share one loaded object.
 *
 * For auth-user-pass-verify the three answer files are opened here and their descriptors passed on: they work after
 * chroot and change of user, whatever user node runs as.
 *
 * Source: openvpn-plugin.h and plugin.c of OpenVPN 2.6 for what is called when.
 */
#include "shim.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define EXPORT __attribute__((visibility("default")))
#define SECTION ".seikan.plugin"

struct plugin {
    int socket;
    pid_t supervisor;
    abi_log_fn log;
    uint32_t calls;
    uintptr_t clients;
    struct frame in;
    int (*i2d)(void *certificate, unsigned char **der);
    bool gone;
};

struct reply {
    uint32_t status, mask, count;
    struct reader list;
    long length;
};

static struct bundle bundle = { .name = "seikan", .init_point = ABI_INIT_PRE_DAEMON, .deadline_ms = 5000 };

static bool call(struct plugin *p, struct frame *f, const int *fds, int fd_count, int deadline_ms, struct reply *reply);

/* ---- the bundle: read when the library is loaded, while its path still means what it meant ---- */

static void read_settings(const char *text, size_t length)
{
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        if (end == NULL) return;
        size_t line = (size_t)(end - text);
        if (line == 0) {
            bundle.program = end + 1;
            bundle.program_length = length - 1;
            return;
        }
        const char *equals = memchr(text, '=', line);
        if (equals != NULL) {
            size_t key = (size_t)(equals - text), value = line - key - 1;
            char copy[512];
            if (value >= sizeof copy) value = sizeof copy - 1;
            memcpy(copy, equals + 1, value);
            copy[value] = '\0';
            if (key == 4 && memcmp(text, "name", 4) == 0) snprintf(bundle.name, sizeof bundle.name, "%.63s", copy);
            if (key == 4 && memcmp(text, "node", 4) == 0) snprintf(bundle.node, sizeof bundle.node, "%s", copy);
            if (key == 4 && memcmp(text, "init", 4) == 0) bundle.init_point = atoi(copy);
            if (key == 8 && memcmp(text, "deadline", 8) == 0) bundle.deadline_ms = atoi(copy);
        }
        text = end + 1;
        length -= line + 1;
    }
}

__attribute__((constructor)) static void load_bundle(void)
{
    Dl_info self;
    struct stat size;
    if (dladdr((void *)load_bundle, &self) == 0) return;
    int file = open(self.dli_fname, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    if (fstat(file, &size) == 0 && size.st_size > (off_t)sizeof(ElfW(Ehdr))) {
        size_t length = (size_t)size.st_size;
        const uint8_t *image = mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, 0);
        if (image != MAP_FAILED) {
            const ElfW(Ehdr) *head = (const void *)image;
            bool whole = head->e_shoff <= length && (size_t)head->e_shnum * sizeof(ElfW(Shdr)) <= length - head->e_shoff
                         && head->e_shstrndx < head->e_shnum;
            const ElfW(Shdr) *sections = (const void *)(image + head->e_shoff);
            for (int i = 0; whole && i < head->e_shnum; i++) {
                size_t name = sections[head->e_shstrndx].sh_offset + sections[i].sh_name;
                if (name + sizeof SECTION > length || memcmp(image + name, SECTION, sizeof SECTION) != 0) continue;
                if (sections[i].sh_offset <= length && sections[i].sh_size <= length - sections[i].sh_offset)
                    read_settings((const char *)image + sections[i].sh_offset, sections[i].sh_size);
            }
            if (bundle.program == NULL) munmap((void *)image, length);
        }
    }
    close(file);
}

/* ---- open ---- */

static const char *variable(const char *name, const char **envp)
{
    size_t length = strlen(name);
    for (; envp != NULL && *envp != NULL; envp++)
        if (strncmp(*envp, name, length) == 0 && (*envp)[length] == '=') return *envp + length + 1;
    return NULL;
}

/* argv without `node=` and `user=`, which are for us. */
static const char **own_words(const char **argv, struct supervisor *s)
{
    size_t count = 0, kept = 0;
    while (argv[count] != NULL) count++;
    const char **words = calloc(count + 1, sizeof *words);
    for (size_t i = 0; words != NULL && i < count; i++) {
        if (i > 0 && strncmp(argv[i], "node=", 5) == 0) s->node = argv[i] + 5;
        else if (i > 0 && strncmp(argv[i], "user=", 5) == 0) s->user = argv[i] + 5;
        else words[kept++] = argv[i];
    }
    return words;
}

static void end_supervisor(struct plugin *p, int patience_ms)
{
    int64_t end = now_ms() + patience_ms;
    if (p->socket >= 0) close(p->socket);
    p->socket = -1;
    if (p->supervisor <= 0) return;
    while (waitpid(p->supervisor, NULL, WNOHANG) == 0) {
        if (now_ms() > end) {
            kill(p->supervisor, SIGKILL);
            waitpid(p->supervisor, NULL, 0);
            break;
        }
        poll(NULL, 0, 2);
    }
    p->supervisor = 0;
}

static void free_plugin(struct plugin *p)
{
    frame_free(&p->in);
    free(p);
}

static bool return_config(struct plugin *p, struct reply *reply, struct abi_list **list)
{
    struct abi_list **tail = list;
    for (uint32_t i = 0; i < reply->count; i++) {
        const char *name = read_text(&reply->list), *value = read_text(&reply->list);
        if (reply->list.failed) return false;
        if (list == NULL) {
            p->log(ABI_LOG_WARN, bundle.name, "OpenVPN takes no %s here: it is ignored", name);
            continue;
        }
        struct abi_list *node = calloc(1, sizeof *node);
        if (node == NULL) return false;
        *tail = node;
        tail = &node->next;
        node->name = strdup(name);
        node->value = strdup(value);
        if (node->name == NULL || node->value == NULL) return false;
    }
    return true;
}

EXPORT int openvpn_plugin_open_v3(int version, const struct abi_open_in *in, struct abi_open_return *out)
{
    (void)version; /* every field that we read is in struct version 1 but ssl_api (2) and version (3) */
    abi_log_fn log = in->callbacks->log;
    if (bundle.program == NULL) {
        log(ABI_LOG_ERR, bundle.name, "this library carries no plugin: make one with `seikan plugin build plugin.ts -o plugin.so`");
        return ABI_ERROR;
    }
    struct plugin *p = calloc(1, sizeof *p);
    if (p == NULL) return ABI_ERROR;
    p->log = log;
    p->socket = -1;
    int ssl = version >= 2 ? in->ssl_api : ABI_SSL_NONE;
    if (ssl == ABI_SSL_OPENSSL) *(void **)&p->i2d = dlsym(RTLD_DEFAULT, "i2d_X509");

    struct supervisor s = { .bundle = &bundle, .log = log, .node = bundle.node };
    const char **words = own_words(in->argv, &s);
    int pair[2] = { -1, -1 };
    if (words == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        log(ABI_LOG_ERR | ABI_LOG_ERRNO, bundle.name, "cannot make a socket pair");
        free(words);
        free_plugin(p);
        return ABI_ERROR;
    }
    p->socket = pair[0];
    p->supervisor = fork();
    if (p->supervisor == 0) {
        close(pair[0]);
        s.openvpn = pair[1];
        supervise(&s);
    }
    close(pair[1]);

    struct frame f = { 0 };
    struct reply reply = { 0 };
    frame_start(&f, OP_OPEN, ++p->calls);
    frame_u32(&f, (uint32_t)ssl);
    frame_text(&f, version >= 3 ? in->version : "");
    frame_vector(&f, words);
    frame_vector(&f, in->envp);
    bool answered = p->supervisor > 0 && call(p, &f, NULL, 0, 30000, &reply);
    frame_free(&f);
    free(words);
    if (!answered || reply.status != ABI_SUCCESS) {
        log(ABI_LOG_ERR, bundle.name, "%s", answered && reply.status == ABI_ERROR ? "the plugin refused to open: see its lines above"
                                                                                  : "the plugin did not open: see the lines above");
        end_supervisor(p, 4000);
        free_plugin(p);
        return ABI_ERROR;
    }
    struct abi_list **list = out->return_list;
    bool listed = return_config(p, &reply, list);
    frame_drop(&p->in, (size_t)reply.length);
    out->type_mask = (int)(reply.mask & (uint32_t)in->type_mask);
    out->handle = p;
    return listed ? ABI_SUCCESS : ABI_ERROR;
}

/* ---- events ---- */

/* What OpenVPN is told where the plugin gave no verdict: no to whoever asks to come in, yes where a no would end OpenVPN. */
static int without_verdict(int type)
{
    switch (type) {
    case ABI_UP: case ABI_DOWN: case ABI_ROUTE_UP: case ABI_IPCHANGE: case ABI_DISCONNECT: case ABI_ROUTE_PREDOWN:
    case ABI_CRRESPONSE:
        return ABI_SUCCESS;
    default:
        return ABI_ERROR;
    }
}

static int open_answer_files(const char **envp, int fds[FRAME_FDS])
{
    static const char *const names[FRAME_FDS] = { "auth_control_file", "auth_pending_file", "auth_failed_reason_file" };
    for (int i = 0; i < FRAME_FDS; i++) {
        const char *path = variable(names[i], envp);
        fds[i] = path == NULL ? -1 : open(path, O_WRONLY | O_CLOEXEC);
        if (fds[i] < 0) fds[i] = open("/dev/null", O_WRONLY | O_CLOEXEC); /* an older OpenVPN has fewer files */
        if (fds[i] < 0) {
            while (i-- > 0) close(fds[i]);
            return 0;
        }
    }
    return FRAME_FDS;
}

EXPORT int openvpn_plugin_func_v3(int version, const struct abi_func_in *in, struct abi_func_return *out)
{
    (void)version;
    struct plugin *p = in->handle;
    unsigned char *der = NULL;
    int der_length = in->cert != NULL && p->i2d != NULL ? p->i2d(in->cert, &der) : 0;
    int fds[FRAME_FDS];
    int fd_count = in->type == ABI_AUTH ? open_answer_files(in->envp, fds) : 0;

    struct frame f = { 0 };
    struct reply reply = { 0 };
    frame_start(&f, OP_EVENT, ++p->calls);
    frame_u32(&f, (uint32_t)in->type);
    frame_u32(&f, in->client == NULL ? 0 : (uint32_t)(uintptr_t)in->client - 1);
    frame_u32(&f, (uint32_t)in->cert_depth);
    frame_u32(&f, (uint32_t)fd_count);
    frame_blob(&f, der, der_length > 0 ? (uint32_t)der_length : 0);
    frame_vector(&f, in->argv);
    frame_vector(&f, in->envp);
    bool answered = call(p, &f, fds, fd_count, bundle.deadline_ms, &reply);
    frame_free(&f);
    for (int i = 0; i < fd_count; i++) close(fds[i]);
    if (der != NULL) {
        void (*release)(void *, const char *, int);
        *(void **)&release = dlsym(RTLD_DEFAULT, "CRYPTO_free");
        if (release != NULL) release(der, "", 0);
    }
    if (!answered) return without_verdict(in->type);
    int status = reply.status == STATUS_NONE ? without_verdict(in->type) : (int)reply.status;
    bool listed = return_config(p, &reply, out == NULL ? NULL : out->return_list);
    frame_drop(&p->in, (size_t)reply.length);
    return listed ? status : ABI_ERROR;
}

/* Sends a frame and waits for the reply to it. The reply borrows the front of p->in: drop it after reading. */
static bool call(struct plugin *p, struct frame *f, const int *fds, int fd_count, int deadline_ms, struct reply *reply)
{
    uint32_t id = p->calls;
    int64_t end = now_ms() + deadline_ms;
    if (p->gone || !frame_send(p->socket, f, fds, fd_count)) goto gone;
    for (;;) {
        long length = frame_front(&p->in);
        if (length < 0) goto gone;
        if (length > 0) {
            if (frame_operation(&p->in) == OP_REPLY && frame_id(&p->in) == id) {
                struct reader r = frame_read(&p->in, length);
                reply->status = read_u32(&r);
                reply->mask = read_u32(&r);
                reply->count = read_u32(&r);
                reply->list = r;
                reply->length = length;
                return !r.failed;
            }
            frame_drop(&p->in, (size_t)length); /* the reply to a call that was given up */
            continue;
        }
        int64_t left = end - now_ms();
        if (left <= 0) {
            p->log(ABI_LOG_WARN, bundle.name, "no answer within %d ms", deadline_ms);
            frame_start(f, OP_LATE, id);
            if (!frame_send(p->socket, f, NULL, 0)) goto gone;
            return false;
        }
        struct pollfd ready = { p->socket, POLLIN, 0 };
        if (poll_awake(&ready, 1, (int)left, ANSWER_SOON_US) > 0 && frame_receive(p->socket, &p->in, NULL, NULL) < 0) goto gone;
    }
gone:
    if (!p->gone) p->log(ABI_LOG_ERR, bundle.name, "the supervisor process is gone: logins fail until OpenVPN restarts");
    p->gone = true;
    return false;
}

/* ---- clients and the end ---- */

EXPORT void *openvpn_plugin_client_constructor_v1(void *handle)
{
    struct plugin *p = handle;
    return (void *)++p->clients; /* the first is the tunnel's own context */
}

EXPORT void openvpn_plugin_client_destructor_v1(void *handle, void *client)
{
    struct plugin *p = handle;
    struct frame f = { 0 };
    frame_start(&f, OP_CLIENT, (uint32_t)(uintptr_t)client - 1);
    if (!p->gone) frame_send(p->socket, &f, NULL, 0);
    frame_free(&f);
}

EXPORT void openvpn_plugin_close_v1(void *handle)
{
    struct plugin *p = handle;
    struct frame f = { 0 };
    struct reply reply = { 0 };
    frame_start(&f, OP_CLOSE, ++p->calls);
    call(p, &f, NULL, 0, 5000, &reply);
    frame_free(&f);
    end_supervisor(p, 1000);
    free_plugin(p);
}

EXPORT void openvpn_plugin_abort_v1(void *handle)
{
    struct plugin *p = handle;
    if (p != NULL && p->socket >= 0) close(p->socket); /* the supervisor ends node when it sees this */
}

EXPORT int openvpn_plugin_select_initialization_point_v1(void)
{
    return bundle.init_point;
}

EXPORT int openvpn_plugin_min_version_required_v1(void)
{
    return ABI_INTERFACE;
}
