/*
 * What parallel builds of all access methods have in common: the processes, the scan of the table that they share, and what
 * they tell each other at the end. In memory that they share there is, beside that, a part of the access method's own.
 */
#ifndef RUVECTOR_BUILD_PARALLEL_H
#define RUVECTOR_BUILD_PARALLEL_H

#include "ruvector.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "nodes/execnodes.h"
#include "port/atomics.h"
#include "storage/dsm.h"
#include "utils/rel.h"

/* In shared memory. */
typedef struct BuildShared BuildShared;

/* The process that was told to build. */
typedef struct BuildLeader
{
	ParallelContext *context;
	BuildShared *shared;
	void	   *area;			/* of the access method's own, in shared memory */
	Snapshot	snapshot;
	int			participants;	/* processes that build, this one included */
} BuildLeader;

/* Each of those, the leader too. */
typedef struct BuildParticipant
{
	BuildShared *shared;
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	void	   *area;
	int			participants;	/* as many as there may be */
	bool		is_leader;
} BuildParticipant;

/* Rows that all participants have added: for the progress. */
extern pg_atomic_uint64 *BuildRows(BuildShared *shared);

/*
 * What may be large has a segment of its own: if there is no memory for it, one process builds.
 */
extern dsm_segment *BuildCreateSegment(Size size);
extern dsm_segment *BuildAttachSegment(dsm_handle handle);
extern void BuildNoteAlone(const char *method);

/* In the leader. */
extern BuildLeader *BuildBegin(Relation heap, Relation index, const IndexInfo *info, const char *worker, Size area_size,
							   Size sort_size);
extern bool BuildLaunch(BuildLeader *leader);
extern void BuildJoin(BuildLeader *leader, Relation heap, Relation index, IndexInfo *info, BuildParticipant *participant);
extern void BuildWait(BuildLeader *leader, IndexInfo *info, IndexBuildResult *result);
extern void BuildEnd(BuildLeader *leader);

/* In a worker: around its work. */
extern void BuildWorkerBegin(shm_toc *toc, BuildParticipant *participant);
extern void BuildWorkerEnd(shm_toc *toc, BuildParticipant *participant);

/* In any participant: its part of the rows, and when it is done with them. */
extern double BuildScan(BuildParticipant *participant, IndexBuildCallback callback, void *state);
extern void BuildDone(BuildParticipant *participant, double heap_tuples, double index_tuples);

#endif
