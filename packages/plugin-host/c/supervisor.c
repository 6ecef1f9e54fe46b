/*
 * The process between OpenVPN and node: forked from OpenVPN without exec, so that it may log through OpenVPN's own
 * plugin_log (also in a chroot, also to syslog), and single-threaded.
 *
 *     node is   starting ──open answered──▶ ready ──no pong──▶ (killed) ──▶ resting ──back-off──▶ starting
 *
 * It relays frames, turns node's output into log lines, writes the answer files on node's behalf, and answers at once
 * "no verdict" while node is not ready. A node that ends is started again at once, then after 1, 2, 4 … 60 s.
 */
#include "shim.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>

enum { PATIENCE_PING = 1000, PATIENCE_OPEN = 30000, PATIENCE_CLOSE = 3000, REST_STEP = 1000, REST_MOST = 60000, HEALTHY = 60000 };

/* The files of one auth-user-pass-verify that is not done. */
struct ticket {
    struct ticket *next;
    uint32_t id;
    int fds[FRAME_FDS];
};

struct state {
    struct supervisor *s;
    enum { STARTING, READY, RESTING, CLOSING } node;
    pid_t pid;
    int socket, output;
    struct frame from_openvpn, from_node, opening, out;
    struct ticket *tickets;
    uint32_t current;         /* the call that OpenVPN waits for, 0: none */
    bool hung;                /* a call was late and node has not answered a ping since */
    bool opened;              /* the first open was answered */
    uint32_t closing;         /* the id of OpenVPN's close call */
    int64_t deadline;         /* of the state, 0: none */
    int64_t started;
    int rest;
    int fds[FRAME_FDS];
    int fd_count;
    char line[2048];
    size_t line_length;
};

static void node_log(struct state *st, int flags, const char *text)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        if (length > 0) st->s->log(flags, st->s->bundle->name, "%.*s", (int)(length > 1000 ? 1000 : length), text);
        text += length > 1000 ? 1000 : length;
        if (*text == '\n') text++;
    }
}

static void reply(struct state *st, uint32_t id, uint32_t status)
{
    frame_start(&st->out, OP_REPLY, id);
    frame_u32(&st->out, status);
    frame_u32(&st->out, 0);
    frame_u32(&st->out, 0);
    if (!frame_send(st->s->openvpn, &st->out, NULL, 0)) _exit(0);
}

static struct ticket *ticket_of(struct state *st, uint32_t id)
{
    for (struct ticket *t = st->tickets; t != NULL; t = t->next)
        if (t->id == id) return t;
    return NULL;
}

static void write_file(struct ticket *t, uint32_t which, const char *text)
{
    if (which >= FRAME_FDS) return;
    size_t length = strlen(text), done = 0;
    lseek(t->fds[which], 0, SEEK_SET);
    if (ftruncate(t->fds[which], 0) != 0 && errno != EINVAL) return; /* EINVAL: /dev/null */
    while (done < length) {
        ssize_t n = write(t->fds[which], text + done, length - done);
        if (n <= 0) return;
        done += (size_t)n;
    }
}

static void end_ticket(struct state *st, uint32_t id)
{
    for (struct ticket **at = &st->tickets; *at != NULL; at = &(*at)->next) {
        struct ticket *t = *at;
        if (t->id != id) continue;
        *at = t->next;
        for (int i = 0; i < FRAME_FDS; i++) close(t->fds[i]);
        free(t);
        return;
    }
}

static void read_output(struct state *st)
{
    ssize_t n = read(st->output, st->line + st->line_length, sizeof st->line - 1 - st->line_length);
    if (n <= 0) {
        close(st->output);
        st->output = -1;
        n = 0;
    }
    st->line_length += (size_t)n;
    st->line[st->line_length] = '\0';
    char *last = memrchr(st->line, '\n', st->line_length);
    if (last == NULL && st->output >= 0 && st->line_length < sizeof st->line - 1) return;
    size_t whole = last == NULL ? st->line_length : (size_t)(last - st->line) + 1;
    char kept = st->line[whole];
    st->line[whole] = '\0';
    node_log(st, ABI_LOG_NOTE, st->line);
    st->line[whole] = kept;
    memmove(st->line, st->line + whole, st->line_length - whole);
    st->line_length -= whole;
}

static void drain_output(struct state *st)
{
    struct pollfd ready = { st->output, POLLIN, 0 };
    while (st->output >= 0 && poll(&ready, 1, 0) > 0) read_output(st);
    if (st->output >= 0) close(st->output);
    st->output = -1;
}

/* In the child that becomes node. */
_Noreturn static void become_node(struct supervisor *s, int socket, int output, int program)
{
    struct sigaction usual = { .sa_handler = SIG_DFL };
    for (int i = 1; i < NSIG; i++) sigaction(i, &usual, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(program, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) _exit(127);
    if (socket == 3) fcntl(3, F_SETFD, 0);
    else if (dup2(socket, 3) < 0) _exit(127);
    if (s->user != NULL) {
        const struct passwd *who = getpwnam(s->user);
        if (who == NULL || initgroups(s->user, who->pw_gid) != 0 || setgid(who->pw_gid) != 0 || setuid(who->pw_uid) != 0) {
            dprintf(2, "cannot become user %s: %s\n", s->user, who == NULL ? "no such user" : strerror(errno));
            _exit(126);
        }
    }
    /* The two limits keep node at 5 threads: Debian's units allow 10 tasks, OpenVPN and this process included. */
    char *const argv[] = { "node", "--v8-pool-size=1", "--enable-source-maps", "--input-type=module", "-", NULL };
    char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "UV_THREADPOOL_SIZE=1", NULL };
    if (s->node[0] != '\0') execve(s->node, argv, env);
    int why = errno;
    if (s->node == s->bundle->node) execvpe("node", argv, env);
    dprintf(2, "cannot run node (%s: %s): install Node.js 20 or later, or name it with node=/path in the plugin line\n",
            s->node[0] == '\0' ? "node" : s->node, strerror(why));
    _exit(127);
}

static void rest(struct state *st)
{
    int64_t now = now_ms();
    if (now - st->started > HEALTHY) st->rest = 0;
    st->node = RESTING;
    st->deadline = now + st->rest;
    st->s->log(ABI_LOG_WARN, st->s->bundle->name, "node starts again in %d s; until then logins fail", st->rest / 1000);
    st->rest = st->rest == 0 ? REST_STEP : st->rest * 2 > REST_MOST ? REST_MOST : st->rest * 2;
}

static void start_node(struct state *st)
{
    int pair[2] = { -1, -1 }, output[2] = { -1, -1 };
    int program = memfd_create("plugin.mjs", MFD_CLOEXEC);
    size_t done = 0;
    st->started = now_ms();
    while (program >= 0 && done < st->s->bundle->program_length) {
        ssize_t n = write(program, st->s->bundle->program + done, st->s->bundle->program_length - done);
        if (n <= 0) break;
        done += (size_t)n;
    }
    if (program >= 0) lseek(program, 0, SEEK_SET);
    bool ready = program >= 0 && done == st->s->bundle->program_length
                 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && pipe2(output, O_CLOEXEC) == 0;
    st->pid = ready ? fork() : -1;
    if (st->pid == 0) become_node(st->s, pair[1], output[1], program);
    if (st->pid < 0) st->s->log(ABI_LOG_ERR | ABI_LOG_ERRNO, st->s->bundle->name, "cannot start node");
    if (program >= 0) close(program);
    if (pair[1] >= 0) close(pair[1]);
    if (output[1] >= 0) close(output[1]);
    st->socket = pair[0];
    st->output = output[0];
    st->from_node.length = 0;
    st->hung = false;
    st->node = STARTING;
    st->deadline = st->started + PATIENCE_OPEN;
    if (st->pid < 0) {
        if (st->socket >= 0) close(st->socket);
        st->socket = -1;
        rest(st);
    } else frame_send(st->socket, &st->opening, NULL, 0); /* a node that is gone already is seen as such below */
}

/* Node has ended, or must: nothing of it is left afterwards. */
static void end_node(struct state *st, const char *why)
{
    int status = 0;
    if (st->pid > 0) {
        if (why != NULL) kill(st->pid, SIGKILL);
        waitpid(st->pid, &status, 0);
    }
    st->pid = 0;
    drain_output(st);
    if (st->socket >= 0) close(st->socket);
    st->socket = -1;
    if (st->node == CLOSING) return;
    st->s->log(ABI_LOG_ERR, st->s->bundle->name, "node %s (%s %d)", why != NULL ? why : "ended by itself",
               WIFSIGNALED(status) ? "signal" : "exit status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (st->current != 0) reply(st, st->current, STATUS_NONE);
    st->current = 0;
    for (struct ticket *t = st->tickets; t != NULL; t = t->next) write_file(t, FILE_CONTROL, "0");
    while (st->tickets != NULL) end_ticket(st, st->tickets->id);
    if (st->opened) rest(st);
    else _exit(1); /* OpenVPN was told, and ends */
}

static void from_node(struct state *st, long length)
{
    uint32_t id = frame_id(&st->from_node);
    struct reader r = frame_read(&st->from_node, length);
    switch (frame_operation(&st->from_node)) {
    case OP_REPLY: {
        uint32_t status = read_u32(&r);
        if (st->node == STARTING) {
            if (status == ABI_SUCCESS) {
                st->node = READY;
                st->deadline = 0;
                if (st->opened) st->s->log(ABI_LOG_NOTE, st->s->bundle->name, "node is back");
                st->opened = true;
            } else if (st->opened) {
                end_node(st, "could not open the plugin again");
                return;
            }
        }
        if (id == st->current) {
            st->current = 0;
            st->out.length = 0;
            st->out.failed = false;
            frame_bytes(&st->out, st->from_node.data, (size_t)length);
            if (!frame_send(st->s->openvpn, &st->out, NULL, 0)) _exit(0);
        }
        break;
    }
    case OP_LOG: {
        int flags = (int)read_u32(&r);
        node_log(st, flags, read_text(&r));
        break;
    }
    case OP_WRITE: {
        struct ticket *t = ticket_of(st, id);
        uint32_t which = read_u32(&r);
        const char *text = read_text(&r);
        if (t != NULL && !r.failed) write_file(t, which, text);
        break;
    }
    case OP_DONE:
        end_ticket(st, id);
        break;
    case OP_PING:
        if (st->hung) st->s->log(ABI_LOG_NOTE, st->s->bundle->name, "node is slow, but alive");
        st->hung = false;
        st->deadline = 0;
        break;
    default:
        break;
    }
}

static void pass_on(struct state *st, long length)
{
    st->out.length = 0;
    st->out.failed = false;
    frame_bytes(&st->out, st->from_openvpn.data, (size_t)length);
    frame_send(st->socket, &st->out, NULL, 0);
}

static void drop_descriptors(struct state *st)
{
    for (int i = 0; i < st->fd_count; i++) close(st->fds[i]);
    st->fd_count = 0;
}

static void from_openvpn(struct state *st, long length)
{
    uint32_t id = frame_id(&st->from_openvpn);
    switch (frame_operation(&st->from_openvpn)) {
    case OP_OPEN:
        st->current = id;
        st->opening.length = 0;
        frame_bytes(&st->opening, st->from_openvpn.data, (size_t)length);
        start_node(st);
        break;
    case OP_EVENT:
        if (st->node != READY || st->hung) {
            drop_descriptors(st);
            reply(st, id, STATUS_NONE);
            break;
        }
        if (st->fd_count == FRAME_FDS) {
            struct ticket *t = calloc(1, sizeof *t);
            if (t == NULL) drop_descriptors(st);
            else {
                *t = (struct ticket){ .next = st->tickets, .id = id };
                memcpy(t->fds, st->fds, sizeof t->fds);
                st->tickets = t;
                st->fd_count = 0;
            }
        }
        st->current = id;
        pass_on(st, length);
        break;
    case OP_CLIENT:
        if (st->node == READY) pass_on(st, length);
        break;
    case OP_LATE:
        end_ticket(st, id);
        if (st->current == id) st->current = 0;
        if (st->node == READY && !st->hung) {
            st->hung = true;
            st->deadline = now_ms() + PATIENCE_PING;
            frame_start(&st->out, OP_PING, 0);
            frame_send(st->socket, &st->out, NULL, 0);
        }
        break;
    case OP_CLOSE:
        st->closing = id;
        if (st->node == READY || st->node == STARTING) {
            pass_on(st, length);
            shutdown(st->socket, SHUT_WR);
        }
        st->deadline = now_ms() + (st->hung ? 0 : PATIENCE_CLOSE);
        st->node = CLOSING;
        break;
    default:
        break;
    }
}

static void inherit_nothing(struct supervisor *s)
{
    /* OpenVPN ignores HUP, USR1 and USR2 while it starts, and an ignored signal stays ignored across exec. */
    struct sigaction usual = { .sa_handler = SIG_DFL }, none = { .sa_handler = SIG_IGN };
    sigset_t empty;
    for (int i = 1; i < NSIG; i++) sigaction(i, &usual, NULL);
    static const int ours[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) sigaction(ours[i], &none, NULL);
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
    setsid(); /* a terminal's ^C would end node before the down event */
    prctl(PR_SET_NAME, "seikan-plugin");
    closelog(); /* its descriptor is closed next; syslog() opens a new one */
    if (s->openvpn != 3) dup2(s->openvpn, 3);
    s->openvpn = 3;
    fcntl(3, F_SETFD, FD_CLOEXEC);
    /* An OpenVPN that opens its plugins has no descriptors that high; our own host has its log there (host.c). */
    syscall(SYS_close_range, 4, 599U, 0);
}

_Noreturn void supervise(struct supervisor *s)
{
    struct state st = { .s = s, .node = RESTING, .socket = -1, .output = -1 };
    inherit_nothing(s);
    for (;;) {
        struct pollfd ready[] = { { s->openvpn, POLLIN, 0 }, { st.socket, POLLIN, 0 }, { st.output, POLLIN, 0 } };
        int64_t left = st.deadline == 0 ? -1 : st.deadline - now_ms();
        int n = poll_awake(ready, 3, st.deadline == 0 ? -1 : left < 0 ? 0 : (int)left, st.current != 0 ? ANSWER_SOON_US : CALL_SOON_US);
        if (n < 0) continue;

        if (ready[2].revents != 0) read_output(&st);
        if (ready[1].revents != 0) {
            int got = frame_receive(st.socket, &st.from_node, NULL, NULL);
            long length = 0;
            while (st.socket >= 0 && (length = frame_front(&st.from_node)) > 0) {
                from_node(&st, length);
                if (st.socket >= 0) frame_drop(&st.from_node, (size_t)length);
            }
            if (st.socket >= 0 && (got < 0 || length < 0)) end_node(&st, length < 0 ? "wrote to its control socket" : NULL);
        }
        if (ready[0].revents != 0) {
            if (frame_receive(s->openvpn, &st.from_openvpn, st.fds, &st.fd_count) < 0) {
                /* OpenVPN ended without closing: node gets the same time to end as after a close. */
                if (st.node == CLOSING) _exit(0);
                if (st.socket >= 0) shutdown(st.socket, SHUT_WR);
                st.node = CLOSING;
                st.deadline = now_ms() + PATIENCE_CLOSE;
                s->openvpn = -1;
            }
            long length;
            while ((length = frame_front(&st.from_openvpn)) > 0) {
                from_openvpn(&st, length);
                frame_drop(&st.from_openvpn, (size_t)length);
            }
            if (length < 0) _exit(1);
        }

        if (st.node == CLOSING && st.socket >= 0 && now_ms() >= st.deadline) end_node(&st, "took too long to close");
        if (st.node == CLOSING && st.socket < 0) {
            if (s->openvpn >= 0 && st.closing != 0) reply(&st, st.closing, ABI_SUCCESS);
            _exit(0);
        }
        if (st.deadline == 0 || now_ms() < st.deadline) continue;
        st.deadline = 0;
        if (st.node == RESTING && st.opened) start_node(&st);
        else if (st.node == STARTING) end_node(&st, "did not open the plugin in time");
        else if (st.hung) end_node(&st, "does not answer and was killed");
    }
}
