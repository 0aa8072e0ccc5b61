/*
 * Parallel builds: see build_parallel.h. PostgreSQL has planned how many workers there are to be (ii_ParallelWorkers), and
 * has locked the table and the index; workers are of the same lock group.
 */
#include "build_parallel.h"

#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/instrument.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/backend_progress.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#define KEY_SHARED UINT64CONST(0x5255564543544F01)
#define KEY_AREA UINT64CONST(0x5255564543544F02)
#define KEY_QUERY UINT64CONST(0x5255564543544F03)
#define KEY_BUFFER_USAGE UINT64CONST(0x5255564543544F04)
#define KEY_WAL_USAGE UINT64CONST(0x5255564543544F05)

/* Where extensions say that their functions are: in whatever directory, and by whatever name the library was loaded. */
#define LIBRARY "$libdir/ruvector"

/* Milliseconds between reports of the progress. */
#define REPORT_INTERVAL 200

struct BuildShared
{
	Oid			heap;
	Oid			index;
	bool		concurrent;
	int			participants;
	pg_atomic_uint64 rows;
	ConditionVariable done;		/* somebody has finished */
	slock_t		lock;
	/* Protected by it. */
	int			finished;
	double		heap_tuples;
	double		index_tuples;
	bool		broken_hot_chain;
	/* The parallel scan follows. */
};

static ParallelTableScanDesc
SharedScan(BuildShared *shared)
{
	return (ParallelTableScanDesc) ((char *) shared + BUFFERALIGN(sizeof(BuildShared)));
}

pg_atomic_uint64 *
BuildRows(BuildShared *shared)
{
	return &shared->rows;
}

/*
 * A segment beside that of the build, mapped for the current resource owner. NULL if there is not so much shared memory: why is told if
 * somebody asks.
 */
dsm_segment *
BuildCreateSegment(Size size)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	dsm_segment *volatile segment = NULL;

	/* Then nothing is left to it by an error. */
	CurrentResourceOwner = NULL;
	PG_TRY();
	{
		segment = dsm_create(size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ereport(DEBUG1,
				(errmsg_internal("no shared memory for a build: %s", error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	CurrentResourceOwner = owner;
	if (segment != NULL)
		dsm_unpin_mapping(segment);
	return segment;
}

dsm_segment *
BuildAttachSegment(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);

	if (segment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not map dynamic shared memory segment")));
	return segment;
}

/* Without such a segment, a build is not an error. */
void
BuildNoteAlone(const char *method)
{
	ereport(NOTICE,
			(errmsg("%s index is built by one process, as there is too little shared memory", method)));
}

/*
 * Prepares a build by `info->ii_ParallelWorkers` workers, each of which will call the function `worker` of this library.
 * The area gets `area_size` bytes, behind which there is one of `sort_size` bytes. NULL if there is no shared memory.
 */
BuildLeader *
BuildBegin(Relation heap, Relation index, const IndexInfo *info, const char *worker, Size area_size, Size sort_size)
{
	BuildLeader *leader = palloc0(sizeof(BuildLeader));
	Snapshot	snapshot;
	ParallelContext *context;
	BuildShared *shared;
	Size		shared_size;
	Size		query_size = debug_query_string != NULL ? strlen(debug_query_string) + 1 : 0;

	EnterParallelMode();
	context = CreateParallelContext(LIBRARY, worker, info->ii_ParallelWorkers);
	/* Rows that somebody may still see are indexed too, unless others change the table meanwhile. */
	snapshot = info->ii_Concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;

	shared_size = add_size(BUFFERALIGN(sizeof(BuildShared)), table_parallelscan_estimate(heap, snapshot));
	area_size = add_size(BUFFERALIGN(area_size), sort_size);
	shm_toc_estimate_chunk(&context->estimator, shared_size);
	shm_toc_estimate_chunk(&context->estimator, area_size);
	shm_toc_estimate_chunk(&context->estimator, query_size);
	shm_toc_estimate_chunk(&context->estimator, mul_size(sizeof(BufferUsage), context->nworkers));
	shm_toc_estimate_chunk(&context->estimator, mul_size(sizeof(WalUsage), context->nworkers));
	shm_toc_estimate_keys(&context->estimator, 5);
	InitializeParallelDSM(context);

	leader->context = context;
	leader->snapshot = snapshot;
	if (context->seg == NULL)
	{
		BuildEnd(leader);
		return NULL;
	}

	shared = shm_toc_allocate(context->toc, shared_size);
	shared->heap = RelationGetRelid(heap);
	shared->index = RelationGetRelid(index);
	shared->concurrent = info->ii_Concurrent;
	shared->participants = context->nworkers + 1;
	pg_atomic_init_u64(&shared->rows, 0);
	ConditionVariableInit(&shared->done);
	SpinLockInit(&shared->lock);
	shared->finished = 0;
	shared->heap_tuples = 0;
	shared->index_tuples = 0;
	shared->broken_hot_chain = false;
	table_parallelscan_initialize(heap, SharedScan(shared), snapshot);
	shm_toc_insert(context->toc, KEY_SHARED, shared);
	leader->shared = shared;

	leader->area = shm_toc_allocate(context->toc, area_size);
	shm_toc_insert(context->toc, KEY_AREA, leader->area);
	if (query_size > 0)
	{
		char	   *query = shm_toc_allocate(context->toc, query_size);

		memcpy(query, debug_query_string, query_size);
		shm_toc_insert(context->toc, KEY_QUERY, query);
	}
	shm_toc_insert(context->toc, KEY_BUFFER_USAGE,
				   shm_toc_allocate(context->toc, mul_size(sizeof(BufferUsage), context->nworkers)));
	shm_toc_insert(context->toc, KEY_WAL_USAGE,
				   shm_toc_allocate(context->toc, mul_size(sizeof(WalUsage), context->nworkers)));
	return leader;
}

/*
 * Starts the workers, when the area is filled in. False if there is none: then the leader is to build as if it had not
 * been called.
 */
bool
BuildLaunch(BuildLeader *leader)
{
	LaunchParallelWorkers(leader->context);
	leader->participants = leader->context->nworkers_launched + 1;
	if (leader->participants == 1)
		return false;
	/* As of pgvector, whose tests look for it. */
	ereport(DEBUG1,
			(errmsg("using %d parallel workers", leader->context->nworkers_launched)));
	return true;
}

/* The leader as a participant. */
void
BuildJoin(BuildLeader *leader, Relation heap, Relation index, IndexInfo *info, BuildParticipant *participant)
{
	participant->shared = leader->shared;
	participant->heap = heap;
	participant->index = index;
	participant->info = info;
	participant->area = leader->area;
	participant->participants = leader->participants;
	participant->is_leader = true;
}

/*
 * Waits for all participants, and sums up what they have done.
 */
void
BuildWait(BuildLeader *leader, IndexInfo *info, IndexBuildResult *result)
{
	BuildShared *shared = leader->shared;

	/* A worker that could not start is an error, and not waited for without an end. */
	WaitForParallelWorkersToAttach(leader->context);
	for (;;)
	{
		bool		all;
		uint64		rows;

		SpinLockAcquire(&shared->lock);
		all = shared->finished == leader->participants;
		SpinLockRelease(&shared->lock);
		rows = pg_atomic_read_u64(&shared->rows);
		if (rows > 0)
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, rows);
		if (all)
			break;
		ConditionVariableTimedSleep(&shared->done, REPORT_INTERVAL, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	}
	ConditionVariableCancelSleep();
	result->heap_tuples = shared->heap_tuples;
	result->index_tuples = shared->index_tuples;
	/* Nobody may use the index before all such chains are gone: index.c sees to that. */
	if (shared->broken_hot_chain)
		info->ii_BrokenHotChain = true;
}

/*
 * Waits for the ends of workers, and leaves parallel mode. What is in shared memory is gone then.
 */
void
BuildEnd(BuildLeader *leader)
{
	ParallelContext *context = leader->context;

	if (context->seg != NULL)
	{
		BufferUsage *buffer_usage = shm_toc_lookup(context->toc, KEY_BUFFER_USAGE, false);
		WalUsage   *wal_usage = shm_toc_lookup(context->toc, KEY_WAL_USAGE, false);

		WaitForParallelWorkersToFinish(context);
		for (int i = 0; i < context->nworkers_launched; i++)
			InstrAccumParallelQuery(&buffer_usage[i], &wal_usage[i]);
	}
	if (IsMVCCSnapshot(leader->snapshot))
		UnregisterSnapshot(leader->snapshot);
	DestroyParallelContext(context);
	ExitParallelMode();
	pfree(leader);
}

static LOCKMODE
HeapLock(const BuildShared *shared)
{
	return shared->concurrent ? ShareUpdateExclusiveLock : ShareLock;
}

static LOCKMODE
IndexLock(const BuildShared *shared)
{
	return shared->concurrent ? RowExclusiveLock : AccessExclusiveLock;
}

void
BuildWorkerBegin(shm_toc *toc, BuildParticipant *participant)
{
	BuildShared *shared = shm_toc_lookup(toc, KEY_SHARED, false);

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);

	participant->shared = shared;
	participant->heap = table_open(shared->heap, HeapLock(shared));
	participant->index = index_open(shared->index, IndexLock(shared));
	participant->info = BuildIndexInfo(participant->index);
	participant->info->ii_Concurrent = shared->concurrent;
	participant->area = shm_toc_lookup(toc, KEY_AREA, false);
	participant->participants = shared->participants;
	participant->is_leader = false;
	InstrStartParallelQuery();
}

void
BuildWorkerEnd(shm_toc *toc, BuildParticipant *participant)
{
	BufferUsage *buffer_usage = shm_toc_lookup(toc, KEY_BUFFER_USAGE, false);
	WalUsage   *wal_usage = shm_toc_lookup(toc, KEY_WAL_USAGE, false);

	InstrEndParallelQuery(&buffer_usage[ParallelWorkerNumber], &wal_usage[ParallelWorkerNumber]);
	index_close(participant->index, IndexLock(participant->shared));
	table_close(participant->heap, HeapLock(participant->shared));
}

/*
 * Calls back for rows that no other participant gets. Returns how many were scanned.
 */
double
BuildScan(BuildParticipant *participant, IndexBuildCallback callback, void *state)
{
	TableScanDesc scan = table_beginscan_parallel(participant->heap, SharedScan(participant->shared));

	return table_index_build_scan(participant->heap, participant->index, participant->info, true,
								  participant->is_leader, callback, state, scan);
}

void
BuildDone(BuildParticipant *participant, double heap_tuples, double index_tuples)
{
	BuildShared *shared = participant->shared;

	SpinLockAcquire(&shared->lock);
	shared->finished++;
	shared->heap_tuples += heap_tuples;
	shared->index_tuples += index_tuples;
	if (participant->info->ii_BrokenHotChain)
		shared->broken_hot_chain = true;
	SpinLockRelease(&shared->lock);
	ConditionVariableSignal(&shared->done);
}
