/*
 * Building an index of hnsw by several processes.
 *
 * All of them add rows to one graph, which is in a segment of dynamic shared memory. It begins with about as much as the
 * table needs, and is copied to one of twice the size when it is full. When it has all of maintenance_work_mem, one process
 * writes it to pages while the others wait, and then all of them insert into these. Otherwise the leader writes it at the
 * end. Work on the graph is done under a lock that all can have at the same time; but who adds the first element or a
 * higher layer, moves the graph or ends the part in memory has it alone.
 */
#include "hnsw_build.h"

#include "build_parallel.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/lwlock.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* The least that a graph begins with. */
#define LEAST_GRAPH ((Size) 256 * 1024)

/* How long a lock of an element is waited for at a time: it is held for as long as a few distances take. */
#define PAUSE_MICROSECONDS 50

typedef enum HnswPhase
{
	HNSW_IN_MEMORY,
	HNSW_FLUSHING,
	HNSW_ON_PAGES
} HnswPhase;

/* Who waits to be alone holds the gate, so that others cannot go on passing by. */
struct HnswBuildLock
{
	LWLock		gate;
	LWLock		lock;
};

/* In shared memory. Without pointers, and what a process makes of a quantiser's parameters is its own. */
typedef struct HnswShared
{
	struct HnswBuildLock lock;
	int			tranche;
	pg_atomic_uint32 phase;
	ConditionVariable flushed;
	/* The segment that the graph is in now, pinned. Protected by the lock. */
	dsm_handle	graph;
	/* What was asked for: a segment may be larger, which not all processes are told. */
	Size		graph_size;
	Size		limit;
	HnswQuantizer quantizer;
	float		step;
	uint32		seed;
	float		center[FLEXIBLE_ARRAY_MEMBER];	/* if codes have them */
} HnswShared;

struct HnswParallel
{
	HnswShared *shared;
	pg_atomic_uint64 *rows;
	bool		is_leader;
	dsm_segment *graph;			/* where this process has it */
	dsm_handle	handle;
};

extern PGDLLEXPORT void ruvector_hnsw_build_worker(dsm_segment *segment, shm_toc *toc);
extern void hnsw_pause(void);

void
hnsw_pause(void)
{
	pg_usleep(PAUSE_MICROSECONDS);
}

void
HnswLockBuild(struct HnswBuildLock *lock, bool alone)
{
	LWLockMode	mode = alone ? LW_EXCLUSIVE : LW_SHARED;

	LWLockAcquire(&lock->gate, mode);
	LWLockAcquire(&lock->lock, mode);
	LWLockRelease(&lock->gate);
}

void
HnswUnlockBuild(struct HnswBuildLock *lock)
{
	LWLockRelease(&lock->lock);
}

/*
 * How an index is described to a worker, and the worker's own description of it by that.
 */
static Size
SharedSize(const HnswInfo *info)
{
	return offsetof(HnswShared, center) + (HnswHasCenters(info) ? sizeof(float) * info->dimensions : 0);
}

static void
ExportInfo(const HnswInfo *info, HnswShared *shared)
{
	shared->quantizer = info->settings.quantizer;
	shared->step = info->settings.step;
	shared->seed = info->settings.seed;
	if (HnswHasCenters(info))
		memcpy(shared->center, info->center, sizeof(float) * info->dimensions);
}

static void
ImportInfo(Relation index, const HnswShared *shared, HnswInfo *info)
{
	HnswDescribe(index, info, shared->quantizer);
	info->settings.step = shared->step;
	info->settings.seed = shared->seed;
	if (HnswHasCenters(info))
	{
		Size		size = sizeof(float) * info->dimensions;

		info->center = memcpy(palloc(size), shared->center, size);
	}
}

/* Uses a graph from now on. */
static void
UseGraph(HnswBuild *state, dsm_segment *segment)
{
	HnswParallel *parallel = state->parallel;
	MemoryContext old_context = MemoryContextSwitchTo(state->graph_context);

	if (state->builder != NULL)
		ruvector_hnsw_build_free(state->builder);
	state->builder = NULL;
	if (parallel->graph != NULL)
		dsm_detach(parallel->graph);
	parallel->graph = segment;
	parallel->handle = dsm_segment_handle(segment);
	state->builder = ruvector_hnsw_shared_attach(&state->info.settings, state->info.code_length,
												 state->info.highest_level, dsm_segment_address(segment),
												 parallel->shared->graph_size);
	MemoryContextSwitchTo(old_context);
	if (state->builder == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

/* Sees to it that the graph is where it is now. The lock is held, or everybody else has done. */
static void
FollowGraph(HnswBuild *state)
{
	HnswParallel *parallel = state->parallel;

	if (parallel->graph != NULL && parallel->handle == parallel->shared->graph)
		return;
	UseGraph(state, BuildAttachSegment(parallel->shared->graph));
}

/* Frees what this process has of the graph. */
void
HnswDropGraph(HnswBuild *state)
{
	state->builder = NULL;
	if (state->graph_context != NULL)
		MemoryContextDelete(state->graph_context);
	state->graph_context = NULL;
	if (state->parallel != NULL && state->parallel->graph != NULL)
	{
		dsm_detach(state->parallel->graph);
		state->parallel->graph = NULL;
	}
}

/*
 * Fills a graph that is used no more with zeros where memory is not given back with its segment, so that a copy of the
 * database does not have it.
 */
void
HnswWipeGraph(HnswBuild *state)
{
#ifdef __wasm__
	if (state->parallel != NULL && state->builder != NULL)
		ruvector_hnsw_shared_wipe(state->builder);
#endif
}

/* Copies the graph to a larger segment. This process is alone. False if it is as large as it may be. */
static bool
GrowGraph(HnswBuild *state)
{
	HnswShared *shared = state->parallel->shared;
	Size		size = shared->graph_size > shared->limit / 2 ? shared->limit : shared->graph_size * 2;
	dsm_segment *segment;
	dsm_handle	old = shared->graph;

	if (shared->graph_size >= shared->limit)
		return false;
	segment = BuildCreateSegment(size);
	if (segment == NULL)
		return false;
	ruvector_hnsw_shared_move(state->builder, dsm_segment_address(segment), size);
	HnswWipeGraph(state);
	/* The leader may be the last one to use it. */
	dsm_pin_segment(segment);
	shared->graph = dsm_segment_handle(segment);
	shared->graph_size = size;
	dsm_unpin_segment(old);
	UseGraph(state, segment);
	return true;
}

static HnswPhase
Phase(HnswShared *shared)
{
	return pg_atomic_read_u32(&shared->phase);
}

/*
 * What is to be done when there was no room: by the first process that gets here.
 */
static void
MakeRoom(HnswBuild *state)
{
	HnswParallel *parallel = state->parallel;
	HnswShared *shared = parallel->shared;
	bool		flush = false;

	HnswLockBuild(&shared->lock, true);
	if (Phase(shared) == HNSW_IN_MEMORY && parallel->handle == shared->graph && !GrowGraph(state))
	{
		pg_atomic_write_u32(&shared->phase, HNSW_FLUSHING);
		flush = true;
	}
	HnswUnlockBuild(&shared->lock);
	if (!flush)
		return;
	HnswNoteFullMemory(state, (int64) pg_atomic_read_u64(parallel->rows),
					   shared->graph_size >= shared->limit ? "maintenance_work_mem" : "shared memory");
	/* Without the lock, so that it can be interrupted. Nobody works on the graph any more. */
	HnswFlush(state);
	pg_write_barrier();
	pg_atomic_write_u32(&shared->phase, HNSW_ON_PAGES);
	ConditionVariableBroadcast(&shared->flushed);
}

/*
 * Adds a row to the graph; false if that is on pages by now, and the row is to be inserted there.
 */
bool
HnswAddShared(HnswBuild *state, HnswCode code, ItemPointer row)
{
	HnswShared *shared = state->parallel->shared;
	uint64		name = HnswRowName(row);

	while (Phase(shared) == HNSW_IN_MEMORY)
	{
		MemoryContext old_context;
		Failure		failure;
		int			status;

		HnswLockBuild(&shared->lock, false);
		if (Phase(shared) == HNSW_IN_MEMORY)
			FollowGraph(state);
		if (Phase(shared) == HNSW_IN_MEMORY && ruvector_hnsw_shared_alone(state->builder, name))
		{
			HnswUnlockBuild(&shared->lock);
			HnswLockBuild(&shared->lock, true);
			if (Phase(shared) == HNSW_IN_MEMORY)
				FollowGraph(state);
		}
		if (Phase(shared) != HNSW_IN_MEMORY)
		{
			HnswUnlockBuild(&shared->lock);
			break;
		}
		old_context = MemoryContextSwitchTo(state->graph_context);
		status = ruvector_hnsw_build_add(state->builder, code.data, code.length, name, &failure);
		MemoryContextSwitchTo(old_context);
		HnswUnlockBuild(&shared->lock);
		if (HnswCheckStatus(status, &failure) == HNSW_DONE)
			return true;
		MakeRoom(state);
	}

	while (Phase(shared) != HNSW_ON_PAGES)
		ConditionVariableSleep(&shared->flushed, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	ConditionVariableCancelSleep();
	if (state->graph_context != NULL)
		HnswDropGraph(state);
	return false;
}

void
HnswCountShared(HnswBuild *state)
{
	uint64		rows = pg_atomic_add_fetch_u64(state->parallel->rows, 1);

	if (state->parallel->is_leader)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, rows);
}

/* One process's part. */
static void
BuildPart(HnswBuild *state, HnswParallel *parallel, BuildParticipant *participant)
{
	double		heap_tuples;

	parallel->shared = participant->area;
	parallel->rows = BuildRows(participant->shared);
	parallel->is_leader = participant->is_leader;
	LWLockRegisterTranche(parallel->shared->tranche, "RuvectorIndexBuild");
	state->parallel = parallel;
	state->access.build_lock = &parallel->shared->lock;
	heap_tuples = BuildScan(participant, HnswAddBuildRow, state);
	BuildDone(participant, heap_tuples, state->rows);
}

void
ruvector_hnsw_build_worker(dsm_segment *segment, shm_toc *toc)
{
	HnswBuild	state = {0};
	HnswParallel parallel = {0};
	BuildParticipant participant;

	BuildWorkerBegin(toc, &participant);
	ImportInfo(participant.index, participant.area, &state.info);
	HnswPrepareBuild(&state, participant.index);
	BuildPart(&state, &parallel, &participant);
	HnswDropGraph(&state);
	BuildWorkerEnd(toc, &participant);
}

/* At the end, or after an error: the graph goes with the last process that has it. */
static void
UnpinGraph(dsm_segment *segment, Datum argument)
{
	HnswShared *shared = (HnswShared *) DatumGetPointer(argument);

	dsm_unpin_segment(shared->graph);
}

/* What the graph is begun with: more than the vectors take in the table. */
static Size
FirstSize(Relation heap, Size limit)
{
	uint64		blocks = RelationGetNumberOfBlocks(heap);
	Relation	toast;

	if (OidIsValid(heap->rd_rel->reltoastrelid))
	{
		toast = table_open(heap->rd_rel->reltoastrelid, AccessShareLock);
		blocks += RelationGetNumberOfBlocks(toast);
		table_close(toast, AccessShareLock);
	}
	return (Size) Min(Max(blocks * BLCKSZ * 2, LEAST_GRAPH), limit);
}

/* Fills in what is shared, and begins the graph. NULL if there is no room for it. */
static dsm_segment *
BeginGraph(const HnswBuild *state, Relation heap, HnswShared *shared)
{
	static int	tranche = 0;
	const HnswInfo *info = &state->info;
	dsm_segment *segment;

	if (tranche == 0)
		tranche = LWLockNewTrancheId();
	shared->tranche = tranche;
	LWLockInitialize(&shared->lock.gate, tranche);
	LWLockInitialize(&shared->lock.lock, tranche);
	pg_atomic_init_u32(&shared->phase, HNSW_IN_MEMORY);
	ConditionVariableInit(&shared->flushed);
	shared->limit = (Size) maintenance_work_mem * 1024;
	shared->graph_size = FirstSize(heap, shared->limit);
	ExportInfo(info, shared);

	segment = BuildCreateSegment(shared->graph_size);
	if (segment == NULL)
		return NULL;
	shared->graph = dsm_segment_handle(segment);
	if (!ruvector_hnsw_shared_create(&info->settings, info->code_length, dsm_segment_address(segment),
									 shared->graph_size))
		elog(ERROR, "options of the index are not valid");
	return segment;
}

/*
 * Builds an index by several processes, as many as were planned. The graph is left in memory, unless that was full. False
 * if the build is to be made by this process alone.
 */
bool
HnswBuildParallel(HnswBuild *state, Relation heap, IndexInfo *index_info, IndexBuildResult *result)
{
	Relation	index = state->access.index;
	BuildLeader *leader;
	HnswShared *shared;
	dsm_segment *segment;
	bool		launched = false;

	/* Codes have to mean the same to all processes from the beginning. */
	if (index_info->ii_ParallelWorkers == 0 || HnswIsUntrained(&state->info))
		return false;
	leader = BuildBegin(heap, index, index_info, "ruvector_hnsw_build_worker", SharedSize(&state->info), 0);
	if (leader == NULL)
		return false;
	shared = leader->area;
	segment = BeginGraph(state, heap, shared);
	if (segment == NULL)
		BuildNoteAlone(HnswMethodName(index));
	else
	{
		dsm_pin_segment(segment);
		on_dsm_detach(leader->context->seg, UnpinGraph, PointerGetDatum(shared));
		launched = BuildLaunch(leader);
		if (!launched)
			dsm_detach(segment);
	}
	if (launched)
	{
		HnswParallel *parallel = palloc0(sizeof(HnswParallel));
		BuildParticipant participant;

		parallel->shared = shared;
		state->parallel = parallel;
		UseGraph(state, segment);
		BuildJoin(leader, heap, index, index_info, &participant);
		BuildPart(state, parallel, &participant);
		BuildWait(leader, index_info, result);
		if (Phase(shared) == HNSW_IN_MEMORY)
			FollowGraph(state);
		else if (state->graph_context != NULL)
			HnswDropGraph(state);
	}
	BuildEnd(leader);
	state->access.build_lock = NULL;
	return launched;
}
