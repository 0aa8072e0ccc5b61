/*
 * What the parts of a build of an index `ivfflat` share.
 */
#ifndef RUVECTOR_IVFFLAT_BUILD_H
#define RUVECTOR_IVFFLAT_BUILD_H

#include "ivfflat.h"

typedef struct IvfflatBuild
{
	Relation	heap;			/* null for the initial fork of an unlogged index */
	Relation	index;
	IndexInfo  *info;
	IvfflatSupport support;
	int			lists;
	double		heap_tuples;
	double		index_tuples;
	MemoryContext row_context;	/* reset after every row */
	char	   *centers;		/* numbers, one centre behind the other */
	Datum	   *center_data;	/* for distance functions that are called */
	const char **center_numbers;
	double	   *distances;
	Tuplesortstate *sort;		/* rows by list */
	TupleDesc	row_descriptor;
	TupleTableSlot *row_slot;
	struct BuildLeader *leader; /* of other processes whose rows the sort has; or null */
} IvfflatBuild;

/* Columns of rows in the sort. */
#define IVFFLAT_ROW_LIST 0
#define IVFFLAT_ROW_TID 1
#define IVFFLAT_ROW_VALUE 2

/* ivfflat_build.c */
extern void IvfflatStartBuild(IvfflatBuild *build, Relation heap, Relation index, IndexInfo *info);
extern void IvfflatPrepareCenters(IvfflatBuild *build);
extern Tuplesortstate *IvfflatBeginSort(IvfflatBuild *build, int memory, SortCoordinate coordinate);
extern void IvfflatAssignRow(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state);

/* ivfflat_parallel.c */
extern bool IvfflatAssignParallel(IvfflatBuild *build);

/* ivfflat_sample.c */
extern char *IvfflatFindCenters(IvfflatBuild *build);

/* ivfflat_load.c */
extern void IvfflatWritePages(IvfflatBuild *build, ForkNumber fork);

#endif
