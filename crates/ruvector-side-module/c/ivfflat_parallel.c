/*
 * Building an index `ivfflat` by several processes: each assigns rows to lists and sorts them, the leader merges what they
 * have sorted and writes the pages. Centres are those that the leader has found.
 */
#include "ivfflat_build.h"

#include "build_parallel.h"
#include "miscadmin.h"

/* In shared memory; the state of the sort follows. */
typedef struct IvfflatShared
{
	dsm_handle	centers;		/* a segment with their numbers */
} IvfflatShared;

static Size
CentersSize(const IvfflatBuild *build)
{
	return build->lists * IvfflatNumbersSize(&build->support);
}

static Sharedsort *
SharedSort(void *area)
{
	return (Sharedsort *) ((char *) area + BUFFERALIGN(sizeof(IvfflatShared)));
}

extern PGDLLEXPORT void ruvector_ivfflat_build_worker(dsm_segment *segment, shm_toc *toc);

/* One process's part of the rows. */
static void
AssignPart(IvfflatBuild *build, BuildParticipant *participant)
{
	SortCoordinateData coordinate = {
		.isWorker = true,
		.nParticipants = -1,
		.sharedsort = SharedSort(participant->area),
	};
	double		heap_tuples;

	build->sort = IvfflatBeginSort(build, maintenance_work_mem / participant->participants, &coordinate);
	heap_tuples = BuildScan(participant, IvfflatAssignRow, build);
	tuplesort_performsort(build->sort);
	BuildDone(participant, heap_tuples, build->index_tuples);
	tuplesort_end(build->sort);
}

void
ruvector_ivfflat_build_worker(dsm_segment *segment, shm_toc *toc)
{
	BuildParticipant participant;
	IvfflatBuild build;
	IvfflatShared *shared;
	dsm_segment *centers;

	BuildWorkerBegin(toc, &participant);
	IvfflatStartBuild(&build, participant.heap, participant.index, participant.info);
	shared = participant.area;
	centers = BuildAttachSegment(shared->centers);
	/* They stay as they are. */
	build.centers = dsm_segment_address(centers);
	IvfflatPrepareCenters(&build);
	tuplesort_attach_shared(SharedSort(shared), segment);
	AssignPart(&build, &participant);
	dsm_detach(centers);
	BuildWorkerEnd(toc, &participant);
}

/* False if there are no others. */
static bool
AssignByAll(IvfflatBuild *build, BuildLeader *leader)
{
	IvfflatBuild part = *build;
	BuildParticipant participant;
	IndexBuildResult result;
	SortCoordinateData coordinate = {.isWorker = false, .sharedsort = SharedSort(leader->area)};

	tuplesort_initialize_shared(coordinate.sharedsort, leader->context->nworkers + 1, leader->context->seg);
	if (!BuildLaunch(leader))
		return false;
	BuildJoin(leader, build->heap, build->index, build->info, &participant);
	AssignPart(&part, &participant);
	BuildWait(leader, build->info, &result);
	build->heap_tuples = result.heap_tuples;
	build->index_tuples = result.index_tuples;
	coordinate.nParticipants = leader->participants;
	build->sort = IvfflatBeginSort(build, maintenance_work_mem, &coordinate);
	tuplesort_performsort(build->sort);
	return true;
}

/*
 * Assigns all rows, by as many processes as were planned. They are sorted then, and `build->leader` is to be ended when
 * they have been read. False if it is to be done by this process alone.
 */
bool
IvfflatAssignParallel(IvfflatBuild *build)
{
	BuildLeader *leader;
	dsm_segment *centers;

	if (build->heap == NULL || build->info->ii_ParallelWorkers == 0)
		return false;
	leader = BuildBegin(build->heap, build->index, build->info, "ruvector_ivfflat_build_worker", sizeof(IvfflatShared),
						tuplesort_estimate_shared(build->info->ii_ParallelWorkers + 1));
	if (leader == NULL)
		return false;
	centers = BuildCreateSegment(CentersSize(build));
	if (centers == NULL)
		BuildNoteAlone("ivfflat");
	else
	{
		memcpy(dsm_segment_address(centers), build->centers, CentersSize(build));
		((IvfflatShared *) leader->area)->centers = dsm_segment_handle(centers);
		if (AssignByAll(build, leader))
			build->leader = leader;
		dsm_detach(centers);
	}
	if (build->leader == NULL)
		BuildEnd(leader);
	return build->leader != NULL;
}
