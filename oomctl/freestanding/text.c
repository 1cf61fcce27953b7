// SPDX-License-Identifier: GPL-2.0-only
/* Words and numbers, and the two functions that compilers call implicitly. */
#include "text.h"

unsigned long length(const char *text)
{
	unsigned long n = 0;

	while (text[n])
		n++;
	return n;
}

int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* Parses up to the first character that is not a digit. */
unsigned long number(const char *text)
{
	unsigned long value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (unsigned long)(*text - '0');
	return value;
}

/* Returns what follows `key=`; NULL if the word has another key. */
const char *after(const char *word, const char *key)
{
	while (*key && *word == *key)
		word++, key++;
	return !*key && *word == '=' ? word + 1 : 0;
}

void *memset(void *start, int byte, unsigned long bytes)
{
	volatile char *at = start;

	while (bytes--)
		*at++ = (char)byte;
	return start;
}

void *memcpy(void *to, const void *from, unsigned long bytes)
{
	volatile char *at = to;
	const char *source = from;

	while (bytes--)
		*at++ = *source++;
	return to;
}
