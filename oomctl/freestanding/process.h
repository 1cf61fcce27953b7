/* SPDX-License-Identifier: GPL-2.0-only */
/* What a process does with itself and with time; process.c. */
#ifndef OOMCTL_PROCESS_H
#define OOMCTL_PROCESS_H

#include "sys.h"

enum { PR_SET_PDEATHSIG = 1, PR_SET_NAME = 15, SECOND = 1000000000 };

unsigned long now(void);
void sleep_until(unsigned long when);
int dies_with(unsigned long parent);
long adjust(const char *adj);

/* The program, called by _start with the stack that the kernel has made. */
_Noreturn void start(long *stack);

#endif
