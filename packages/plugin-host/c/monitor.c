/*
 * The process above the one that holds the plugin. Plugins fork, and what they forked may outlive them: the child of
 * auth-pam stays as root when its plugin is killed. As "subreaper" this process inherits all of them, and kills whatever
 * is left when the worker has ended or our daemon is gone.
 */
#include "host.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { GRACE_MS = 500 };

/* Kills the children of this process, once; says whether there were any. What they leave becomes ours next. */
static bool kill_children(void)
{
    char path[64];
    bool any = false;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *list = fopen(path, "re");
    long pid;
    while (list != NULL && fscanf(list, "%ld", &pid) == 1) {
        kill((pid_t)pid, SIGKILL);
        any = true;
    }
    if (list != NULL) fclose(list);
    return any;
}

_Noreturn void monitor(pid_t worker)
{
    int worker_fd = (int)syscall(SYS_pidfd_open, worker, 0);
    int status = 0;
    bool ended = false;
    /* No events asked for: only the daemon's end is reported, the worker reads what it writes. */
    struct pollfd seen[] = { { HOST_CONTROL, 0, 0 }, { worker_fd, POLLIN, 0 } };
    while (!ended && seen[0].revents == 0) {
        int n = poll(seen, 2, worker_fd < 0 ? 100 : -1);
        if (n < 0) seen[0].revents = seen[1].revents = 0;
        ended = waitpid(worker, &status, WNOHANG) == worker;
    }
    int64_t end = now_ms() + (ended && WIFEXITED(status) ? GRACE_MS : 0);
    for (;;) {
        int reaped;
        while ((reaped = waitpid(-1, ended ? NULL : &status, WNOHANG)) > 0)
            if (reaped == worker) ended = true;
        if (reaped < 0) break; /* nobody is left */
        if (now_ms() >= end && !kill_children()) break;
        poll(NULL, 0, 5);
    }
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}
