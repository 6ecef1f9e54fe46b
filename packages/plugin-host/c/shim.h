/* What the two halves of a TypeScript plugin's shared library share: see shim.c. */
#ifndef SEIKAN_SHIM_H
#define SEIKAN_SHIM_H

#include "abi.h"
#include "frame.h"

/* What the build tool put into the library's section: settings, then the program for node. */
struct bundle {
    char name[64];
    char node[512];
    int init_point;
    int deadline_ms;
    const char *program;
    size_t program_length;
};

struct supervisor {
    const struct bundle *bundle;
    abi_log_fn log;
    int openvpn;      /* socket to OpenVPN */
    const char *node; /* program to run as node */
    const char *user; /* whom to run it as, NULL: as we are */
};

/* Operations, OpenVPN → supervisor → node and back. */
enum {
    OP_OPEN = 'O',   /* u32 ssl, text version, vector argv, vector envp */
    OP_EVENT = 'E',  /* u32 type, u32 context, u32 depth, u32 descriptors, blob der, vector argv, vector envp */
    OP_CLIENT = 'D', /* u32 context: it is closed */
    OP_LATE = 'T',   /* OpenVPN no longer waits for the call of this id */
    OP_CLOSE = 'X',
    OP_REPLY = 'R',  /* u32 status, u32 mask, u32 count, texts name and value */
    OP_LOG = 'L',    /* u32 flags, text */
    OP_WRITE = 'W',  /* u32 which, text: into a file of the event of this id */
    OP_DONE = 'Z',   /* the event of this id needs its files no more */
    OP_PING = 'P',
};

enum { STATUS_NONE = 0xffffffff }; /* a reply of the supervisor: there is no verdict */
enum { FILE_CONTROL = 0, FILE_PENDING = 1, FILE_REASON = 2 };

/* Runs in a process forked from OpenVPN; never returns. */
_Noreturn void supervise(struct supervisor *s);

#endif
