/*
 * What the parts of a build of hnsw share.
 */
#ifndef HNSW_BUILD_H
#define HNSW_BUILD_H

#include "hnsw.h"

/* A process's part of a parallel build. */
typedef struct HnswParallel HnswParallel;

typedef struct HnswBuild
{
	HnswInfo	info;
	HnswAccess	access;
	HnswBuilder *builder;		/* NULL when memory has run out */
	MemoryContext graph_context;
	MemoryContext row_context;
	HnswParallel *parallel;		/* NULL if there is but one process */
	double		rows;
} HnswBuild;

/* hnsw_build.c */
extern void HnswPrepareBuild(HnswBuild *state, Relation index);
extern void HnswAddBuildRow(Relation index, ItemPointer row, Datum *values, bool *isnull, bool alive, void *argument);
extern void HnswNoteFullMemory(const HnswBuild *state, int64 rows, const char *memory);
extern void HnswFlush(HnswBuild *state);

/* hnsw_parallel.c */
extern bool HnswBuildParallel(HnswBuild *state, Relation heap, IndexInfo *index_info, IndexBuildResult *result);
extern bool HnswAddShared(HnswBuild *state, HnswCode code, ItemPointer row);
extern void HnswCountShared(HnswBuild *state);
extern void HnswDropGraph(HnswBuild *state);
extern void HnswWipeGraph(HnswBuild *state);

#endif
