/* What the two halves of seikan-plugin-host share: see host.c and monitor.c. */
#ifndef SEIKAN_HOST_H
#define SEIKAN_HOST_H

#include "abi.h"
#include "frame.h"

/* Operations from our daemon; every one is answered by a reply with its id. */
enum {
    HOST_LOAD = 'L',        /* text path                       reply: status, init point, list (error) */
    HOST_OPEN = 'O',        /* u32 major, u32 minor, text patch, text version, vector argv, vector envp
                                                               reply: status, mask, list */
    HOST_CONSTRUCT = 'C',   /* u32 context */
    HOST_DESTRUCT = 'D',    /* u32 context */
    HOST_EVENT = 'E',       /* u32 type, u32 context, u32 depth, blob der, vector argv, vector envp
                                                               reply: status, 0, list */
    HOST_DROP = 'U',        /* u32 uid, u32 gid, text root     reply: status 0 or errno */
    HOST_CLOSE = 'X',       /* the plugin's close; the process ends after the reply */
    HOST_ABORT = 'A',       /* its abort, likewise */
    HOST_REPLY = 'R',       /* u32 status, u32 number, u32 count, texts name and value */
    HOST_EXECUTE = 'S',     /* in the mode `execute`: vector argv, vector envp; becomes that program */
};

/* Where our daemon put its ends. The worker moves them out of plugins' reach. */
enum { HOST_CONTROL = 3, HOST_LOG = 4 };

_Noreturn void work(void);
_Noreturn void monitor(pid_t worker);

#endif
