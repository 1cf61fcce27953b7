/* SPDX-License-Identifier: GPL-2.0-only */
/* Words and numbers; text.c. */
#ifndef OOMCTL_TEXT_H
#define OOMCTL_TEXT_H

unsigned long length(const char *text);
int same(const char *a, const char *b);
unsigned long number(const char *text);
const char *after(const char *word, const char *key);

#endif
