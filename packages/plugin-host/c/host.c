/*
 * Holds one compiled OpenVPN plugin for our daemon, in a process of its own: a plugin's crash, hang, fork or thread is
 * then no concern of the tunnel's. Calls come as frames, one at a time; log lines leave through a second descriptor.
 *
 *     daemon ── frames ──▶ this worker ── dlopen ──▶ plugin        above it: monitor.c
 *
 * What plugins rely on, and found in OpenVPN's own process (habits of real plugins in brackets):
 * - strings of open's argv live as long as the plugin [down-root, auth-pam keep the pointers]
 * - an environment string keeps its address while its value does not change [sample-client-connect]
 * - argv is followed by many NULLs [multi-auth, duo read argv[4] blindly]
 * - OpenSSL's symbols are global [keying-material-exporter is linked without libcrypto]
 * - descriptors 3 to 100 may be closed by them after a fork [auth-pam, down-root], so ours lie higher
 * - callbacks may be called from forked children and from threads: each log line is one write, nothing is locked
 *
 * Source: interface and order of look-up from OpenVPN 2.6 src/openvpn/plugin.c.
 */
#include "host.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

enum { OUR_FDS = 600, ARGV_PAD = 32, LOG_MAX = 4000 };

struct context {
    struct context *next;
    uint32_t id;
    void *client;
    char **env;
    size_t env_count;
};

struct plugin {
    void *object;
    abi_open_v1 open1;
    abi_open_v2 open2;
    abi_open_v3 open3;
    abi_func_v1 func1;
    abi_func_v2 func2;
    abi_func_v3 func3;
    void (*close)(void *handle);
    void (*abort)(void *handle);
    void *(*construct)(void *handle);
    void (*destruct)(void *handle, void *client);
    int (*min_version)(void);
    int (*init_point)(void);
    /* The form without prefix and handle, from the first plugin documentation. */
    int (*bare_open)(unsigned int *mask, const char **argv, const char **envp);
    int (*bare_func)(int type, const char **argv, const char **envp);
    void (*bare_close)(void);
    void *handle;
    bool opened;
};

static int control = HOST_CONTROL, log_fd = HOST_LOG;
static struct plugin plugin;
static struct context *contexts;
static void *(*d2i)(void *, const unsigned char **, long);
static void (*x509_free)(void *);

/* ---- callbacks ---- */

static void host_vlog(int flags, const char *name, const char *format, va_list arguments)
{
    int why = errno;
    char line[LOG_MAX];
    if (name == NULL || *name == '\0' || format == NULL) return;
    int length = snprintf(line, sizeof line, "%u %d %.100s\t", (unsigned)flags, (int)getpid(), name);
    int more = vsnprintf(line + length, sizeof line - (size_t)length, format, arguments);
    if (more > 0) length += more;
    if (length > (int)sizeof line - 200) length = (int)sizeof line - 200;
    if (flags & ABI_LOG_ERRNO) length += snprintf(line + length, 199, ": %.150s (errno=%d)", strerror(why), why);
    while (length > 0 && line[length - 1] == '\n') length--;
    for (int i = 0; i < length; i++)
        if (line[i] == '\n') line[i] = '\1';
    line[length++] = '\n';
    if (write(log_fd, line, (size_t)length) < 0) errno = why;
    errno = why;
}

__attribute__((format(printf, 3, 4))) static void host_log(int flags, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    host_vlog(flags, name, format, arguments);
    va_end(arguments);
}

static void host_memzero(void *data, size_t length)
{
    explicit_bzero(data, length);
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int host_base64_encode(const void *data, int size, char **text)
{
    const unsigned char *in = data;
    if (size < 0) return -1;
    char *out = malloc(((size_t)size + 2) / 3 * 4 + 1);
    if (out == NULL) return -1;
    char *at = out;
    for (int i = 0; i < size; i += 3) {
        int left = size - i;
        unsigned three = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        *at++ = digits[three >> 18];
        *at++ = digits[three >> 12 & 63];
        *at++ = left > 1 ? digits[three >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[three & 63] : '=';
    }
    *at = '\0';
    *text = out;
    return (int)(at - out);
}

/* Decodes quads up to the first foreign character; -1 for a quad that is not whole or has no room. */
static int host_base64_decode(const char *text, void *data, int size)
{
    unsigned char *out = data;
    int length = 0;
    while (*text != '\0' && (*text == '=' || strchr(digits, *text) != NULL)) {
        unsigned value = 0;
        int marks = 0;
        for (int i = 0; i < 4; i++) {
            const char *digit = text[i] == '\0' ? NULL : strchr(digits, text[i]);
            if (text[i] == '=' && i >= 2) marks++;
            else if (digit == NULL || marks > 0) return -1;
            value = value << 6 | (text[i] == '=' ? 0 : (unsigned)(digit - digits));
        }
        for (int i = 0; i < 3 - marks; i++) {
            if (length >= size) return -1;
            out[length++] = (unsigned char)(value >> (16 - 8 * i));
        }
        text += 4;
    }
    return length;
}

static const struct abi_callbacks callbacks = { host_log, host_vlog, host_memzero, host_base64_encode, host_base64_decode };

/* ---- frames ---- */

static void send_reply(struct frame *out)
{
    if (!frame_send(control, out, NULL, 0)) _exit(0);
}

static void start_reply(struct frame *out, uint32_t id, uint32_t status, uint32_t number)
{
    frame_start(out, HOST_REPLY, id);
    frame_u32(out, status);
    frame_u32(out, number);
}

/* Writes a plugin's return list and frees it, as OpenVPN does: it was malloc'ed node by node. */
static void put_list(struct frame *out, struct abi_list *list)
{
    uint32_t count = 0;
    for (struct abi_list *node = list; node != NULL; node = node->next) count++;
    frame_u32(out, count);
    while (list != NULL) {
        struct abi_list *next = list->next;
        frame_text(out, list->name);
        frame_text(out, list->value);
        if (list->value != NULL) explicit_bzero(list->value, strlen(list->value));
        free(list->name);
        free(list->value);
        free(list);
        list = next;
    }
}

static void reply(uint32_t id, uint32_t status, uint32_t number, struct abi_list *list)
{
    struct frame out = { 0 };
    start_reply(&out, id, status, number);
    put_list(&out, list);
    send_reply(&out);
    frame_free(&out);
}

static void reply_error(uint32_t id, const char *kind, const char *text)
{
    struct frame out = { 0 };
    start_reply(&out, id, ABI_ERROR, 0);
    frame_u32(&out, 1);
    frame_text(&out, kind);
    frame_text(&out, text);
    send_reply(&out);
    frame_free(&out);
}

static const char **read_argv(struct reader *r, bool keep)
{
    uint32_t count = read_u32(r);
    if (count > 4096) count = 4096;
    const char **argv = calloc(count + ARGV_PAD, sizeof *argv);
    if (argv == NULL) _exit(71);
    for (uint32_t i = 0; i < count; i++) {
        const char *text = read_text(r);
        argv[i] = keep ? strdup(text) : text;
    }
    return argv;
}

/* The environment of a context after this call: strings that stay the same stay where they are. */
static const char **read_env(struct reader *r, struct context *c)
{
    uint32_t count = read_u32(r);
    if (count > 65536) count = 65536;
    char **env = calloc((size_t)count + 1, sizeof *env);
    if (env == NULL) _exit(71);
    size_t hint = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *text = read_text(r);
        for (size_t tries = 0; tries < c->env_count; tries++) {
            size_t at = (hint + tries) % c->env_count;
            if (c->env[at] == NULL || strcmp(c->env[at], text) != 0) continue;
            env[i] = c->env[at];
            c->env[at] = NULL;
            hint = at + 1;
            break;
        }
        if (env[i] == NULL) env[i] = strdup(text);
        if (env[i] == NULL) _exit(71);
    }
    for (size_t i = 0; i < c->env_count; i++) {
        if (c->env[i] == NULL) continue;
        explicit_bzero(c->env[i], strlen(c->env[i]));
        free(c->env[i]);
    }
    free(c->env);
    c->env = env;
    c->env_count = count;
    return (const char **)env;
}

static struct context *context_of(uint32_t id)
{
    for (struct context *c = contexts; c != NULL; c = c->next)
        if (c->id == id) return c;
    struct context *c = calloc(1, sizeof *c);
    if (c == NULL) _exit(71);
    c->id = id;
    c->next = contexts;
    contexts = c;
    return c;
}

/* ---- operations ---- */

static void *symbol(const char *name)
{
    return dlsym(plugin.object, name);
}

static void load(uint32_t id, struct reader *r)
{
    const char *path = read_text(r);
    /* Plugins that take apart the peer's certificate expect OpenSSL in whoever loads them. */
    void *crypto = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_GLOBAL);
    if (crypto != NULL) {
        *(void **)&d2i = dlsym(crypto, "d2i_X509");
        *(void **)&x509_free = dlsym(crypto, "X509_free");
    }
    plugin.object = dlopen(path, RTLD_NOW);
    if (plugin.object == NULL) {
        reply_error(id, "load", dlerror());
        return;
    }
    *(void **)&plugin.open1 = symbol("openvpn_plugin_open_v1");
    *(void **)&plugin.open2 = symbol("openvpn_plugin_open_v2");
    *(void **)&plugin.open3 = symbol("openvpn_plugin_open_v3");
    *(void **)&plugin.func1 = symbol("openvpn_plugin_func_v1");
    *(void **)&plugin.func2 = symbol("openvpn_plugin_func_v2");
    *(void **)&plugin.func3 = symbol("openvpn_plugin_func_v3");
    *(void **)&plugin.close = symbol("openvpn_plugin_close_v1");
    *(void **)&plugin.abort = symbol("openvpn_plugin_abort_v1");
    *(void **)&plugin.construct = symbol("openvpn_plugin_client_constructor_v1");
    *(void **)&plugin.destruct = symbol("openvpn_plugin_client_destructor_v1");
    *(void **)&plugin.min_version = symbol("openvpn_plugin_min_version_required_v1");
    *(void **)&plugin.init_point = symbol("openvpn_plugin_select_initialization_point_v1");
    bool prefixed = plugin.open1 != NULL || plugin.open2 != NULL || plugin.open3 != NULL;
    if (!prefixed) {
        *(void **)&plugin.bare_open = symbol("plugin_open_v1");
        *(void **)&plugin.bare_func = symbol("plugin_func_v1");
        *(void **)&plugin.bare_close = symbol("plugin_close_v1");
    }
    bool bare = plugin.bare_open != NULL && plugin.bare_func != NULL && plugin.bare_close != NULL;
    const char *absent = bare ? NULL
        : plugin.close == NULL ? "openvpn_plugin_close_v1"
        : !prefixed ? "openvpn_plugin_open_v1, _v2 or _v3"
        : plugin.func1 == NULL && plugin.func2 == NULL && plugin.func3 == NULL ? "openvpn_plugin_func_v1, _v2 or _v3"
        : NULL;
    if (absent != NULL) {
        reply_error(id, "symbol", absent);
        return;
    }
    int wanted = plugin.min_version == NULL ? ABI_INTERFACE : plugin.min_version();
    if (wanted > ABI_INTERFACE) {
        char text[16];
        snprintf(text, sizeof text, "%d", wanted);
        reply_error(id, "version", text);
        return;
    }
    reply(id, ABI_SUCCESS, plugin.init_point == NULL ? ABI_INIT_PRE_DAEMON : (uint32_t)plugin.init_point(), NULL);
}

static void open_plugin(uint32_t id, struct reader *r)
{
    unsigned major = read_u32(r), minor = read_u32(r);
    const char *patch = strdup(read_text(r)), *version = strdup(read_text(r));
    const char **argv = read_argv(r, true);
    const char **envp = read_env(r, context_of(0));
    unsigned mask = ABI_MASK;
    struct abi_list *list = NULL;
    bool good;
    if (plugin.open3 != NULL) {
        struct abi_open_in in = {
            .type_mask = ABI_MASK, .argv = argv, .envp = envp, .callbacks = &callbacks,
            .ssl_api = d2i == NULL ? ABI_SSL_NONE : ABI_SSL_OPENSSL,
            .version = version, .major = major, .minor = minor, .patch = patch,
        };
        struct abi_open_return out = { .return_list = &list };
        good = plugin.open3(ABI_STRUCTS, &in, &out) == ABI_SUCCESS && out.handle != NULL;
        mask = (unsigned)out.type_mask;
        plugin.handle = out.handle;
    } else if (plugin.open2 != NULL || plugin.open1 != NULL) {
        plugin.handle = plugin.open2 != NULL ? plugin.open2(&mask, argv, envp, &list) : plugin.open1(&mask, argv, envp);
        good = plugin.handle != NULL;
    } else good = plugin.bare_open(&mask, argv, envp) == ABI_SUCCESS;
    plugin.opened = good;
    reply(id, good ? ABI_SUCCESS : ABI_ERROR, mask, list);
}

static void call_event(uint32_t id, struct reader *r)
{
    int type = (int)read_u32(r);
    struct context *c = context_of(read_u32(r));
    int depth = (int)read_u32(r);
    uint32_t der_length;
    const unsigned char *der = read_blob(r, &der_length);
    const char **argv = read_argv(r, false);
    const char **envp = read_env(r, c);
    void *certificate = der_length > 0 && d2i != NULL ? d2i(NULL, &der, (long)der_length) : NULL;
    struct abi_list *list = NULL;
    int status;
    if (r->failed) _exit(70);
    if (plugin.func3 != NULL) {
        struct abi_func_in in = {
            .type = type, .argv = argv, .envp = envp, .handle = plugin.handle, .client = c->client,
            .cert_depth = certificate == NULL ? -1 : depth, .cert = certificate,
        };
        struct abi_func_return out = { &list };
        status = plugin.func3(ABI_STRUCTS, &in, &out);
    } else if (plugin.func2 != NULL) status = plugin.func2(plugin.handle, type, argv, envp, c->client, &list);
    else if (plugin.func1 != NULL) status = plugin.func1(plugin.handle, type, argv, envp);
    else status = plugin.bare_func(type, argv, envp);
    if (certificate != NULL && x509_free != NULL) x509_free(certificate);
    free(argv);
    reply(id, (uint32_t)status, 0, list);
}

static void destruct(uint32_t context)
{
    for (struct context **at = &contexts; *at != NULL; at = &(*at)->next) {
        struct context *c = *at;
        if (c->id != context) continue;
        if (c->client != NULL && plugin.destruct != NULL) plugin.destruct(plugin.handle, c->client);
        for (size_t i = 0; i < c->env_count; i++) {
            explicit_bzero(c->env[i], strlen(c->env[i]));
            free(c->env[i]);
        }
        free(c->env);
        *at = c->next;
        free(c);
        return;
    }
}

static int drop_privileges(struct reader *r)
{
    uid_t uid = read_u32(r);
    gid_t gid = read_u32(r);
    const char *root = read_text(r);
    if (*root != '\0' && (chroot(root) != 0 || chdir("/") != 0)) return errno;
    if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0) return errno;
    return 0;
}

static void handle(struct frame *in, long length)
{
    uint32_t id = frame_id(in);
    struct reader r = frame_read(in, length);
    switch (frame_operation(in)) {
    case HOST_LOAD:
        load(id, &r);
        break;
    case HOST_OPEN:
        open_plugin(id, &r);
        break;
    case HOST_CONSTRUCT: {
        struct context *c = context_of(read_u32(&r));
        if (plugin.construct != NULL) c->client = plugin.construct(plugin.handle);
        reply(id, ABI_SUCCESS, 0, NULL);
        break;
    }
    case HOST_DESTRUCT:
        destruct(read_u32(&r));
        reply(id, ABI_SUCCESS, 0, NULL);
        break;
    case HOST_EVENT:
        call_event(id, &r);
        break;
    case HOST_DROP:
        reply(id, (uint32_t)drop_privileges(&r), 0, NULL);
        break;
    case HOST_CLOSE:
    case HOST_ABORT:
        if (plugin.opened && frame_operation(in) == HOST_ABORT) {
            if (plugin.abort != NULL) plugin.abort(plugin.handle);
        } else if (plugin.opened) {
            if (plugin.close != NULL) plugin.close(plugin.handle);
            else plugin.bare_close();
        }
        fflush(NULL);
        reply(id, ABI_SUCCESS, 0, NULL);
        /* No dlclose, no exit handlers: threads and runtimes of plugins do not survive those. */
        _exit(0);
    default:
        _exit(70);
    }
}

static int out_of_reach(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, OUR_FDS);
    if (moved < 0) moved = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    if (moved < 0) return fd;
    close(fd);
    return moved;
}

static long next_frame(int socket, struct frame *in)
{
    for (;;) {
        long length = frame_front(in);
        if (length != 0) return length;
        struct pollfd ready = { socket, POLLIN, 0 };
        if (poll_awake(&ready, 1, -1, CALL_SOON_US) > 0 && frame_receive(socket, in, NULL, NULL) < 0) return -1;
    }
}

_Noreturn void work(void)
{
    struct frame in = { 0 };
    control = out_of_reach(HOST_CONTROL);
    log_fd = out_of_reach(HOST_LOG);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setvbuf(stdout, NULL, _IOLBF, 0); /* plugins print; a pipe would hold it back */
    for (;;) {
        long length = next_frame(control, &in);
        if (length < 0) _exit(0);
        handle(&in, length);
        frame_drop(&in, (size_t)length);
    }
}

/* Becomes another program with arguments and environment of any bytes, which node cannot hand over. */
_Noreturn static void execute(void)
{
    struct frame in = { 0 };
    long length = next_frame(HOST_CONTROL, &in);
    if (length < 0 || frame_operation(&in) != HOST_EXECUTE) _exit(127);
    struct reader r = frame_read(&in, length);
    struct context c = { 0 };
    const char **argv = read_argv(&r, true);
    const char **envp = read_env(&r, &c);
    if (r.failed) _exit(127);
    close(HOST_CONTROL);
    execve(argv[0], (char *const *)argv, (char *const *)envp);
    _exit(127);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "execute") == 0) execute();
    setsid(); /* a terminal's ^C would end plugins before their down event */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t worker = fork();
    if (worker < 0) return 71;
    if (worker == 0) work();
    close(HOST_LOG);
    monitor(worker);
}
