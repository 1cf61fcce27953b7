// SPDX-License-Identifier: GPL-2.0-only
/* How fast a hog fills: at once, or piece by piece at a rate. */
#include "hog.h"

enum { PIECES_PER_SECOND = 100, MOST_DEBT = 500000000 };

static unsigned long piece_size(struct hog *hog, unsigned long rate)
{
	unsigned long unit = hog->thp || hog->kind->make == make_hugetlb ? HUGE_PAGE : GRAIN;

	/* At most 1 GiB, so that the nanoseconds below fit 64 bits. */
	return round_up(smaller(rate / PIECES_PER_SECOND + 1, 1UL << 30), unit);
}

/*
 * A hog that is late makes up for it by not sleeping. If it is late by more than half a second, the
 * delay is dropped and counted as lost, so that it does not fill in a rush.
 */
long pace(struct hog *hog, struct range *range)
{
	unsigned long end, time, due = now(), piece = range->to - range->from;
	long ret;

	if (range->rate)
		piece = piece_size(hog, range->rate);
	for (; range->from < range->to; range->from = end) {
		end = range->from + smaller(piece, range->to - range->from);
		ret = hog->kind->piece(hog, range->from, end);
		if (ret < 0)
			return ret;
		if (!range->rate)
			continue;
		due += (end - range->from) * SECOND / range->rate;
		time = now();
		if (time <= due)
			sleep_until(due);
		else if (time - due > MOST_DEBT) {
			range->lost += time - due;
			due = time;
		}
	}
	return 0;
}

long fill_alone(struct hog *hog)
{
	struct range all = { 0, hog->size, hog->rate, 0 };
	long ret = pace(hog, &all);

	hog->filled = all.from;
	hog->lost = all.lost;
	return ret;
}
