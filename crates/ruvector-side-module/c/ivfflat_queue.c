/*
 * Candidates of a scan, to be taken the nearest first. Mostly only a few are taken, so they are a heap, which is made in
 * linear time, rather than sorted. What does not fit into work_mem is sorted with temporary files.
 */
#include "ivfflat.h"

#include <math.h>

#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"

void
IvfflatQueueInit(IvfflatQueue *queue, MemoryContext context)
{
	memset(queue, 0, sizeof(IvfflatQueue));
	queue->context = context;
}

/* Takes all out. Memory of candidates stays for the next ones. */
void
IvfflatQueueReset(IvfflatQueue *queue)
{
	queue->count = 0;
	if (queue->sort != NULL)
	{
		ExecClearTuple(queue->get_slot);
		tuplesort_end(queue->sort);
		queue->sort = NULL;
	}
}

static void
PutInSort(IvfflatQueue *queue, IvfflatCandidate *candidate)
{
	TupleTableSlot *slot = queue->put_slot;

	ExecClearTuple(slot);
	/* On 32-bit platforms a pointer, so that nothing is allocated for each candidate. */
	slot->tts_values[0] = Float8GetDatumFast(candidate->distance);
	slot->tts_values[1] = PointerGetDatum(&candidate->tid);
	slot->tts_isnull[0] = false;
	slot->tts_isnull[1] = false;
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(queue->sort, slot);
}

/* From memory to a sort. */
static void
Spill(IvfflatQueue *queue)
{
	AttrNumber	columns[] = {1, 2};
	Oid			operators[] = {Float8LessOperator, TIDLessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};
	MemoryContext caller = MemoryContextSwitchTo(queue->context);

	if (queue->descriptor == NULL)
	{
		queue->descriptor = CreateTemplateTupleDesc(2);
		TupleDescInitEntry(queue->descriptor, 1, "distance", FLOAT8OID, -1, 0);
		TupleDescInitEntry(queue->descriptor, 2, "tid", TIDOID, -1, 0);
		queue->put_slot = MakeSingleTupleTableSlot(queue->descriptor, &TTSOpsVirtual);
		queue->get_slot = MakeSingleTupleTableSlot(queue->descriptor, &TTSOpsMinimalTuple);
	}
	queue->sort = tuplesort_begin_heap(queue->descriptor, 2, columns, operators, collations, nulls_first, work_mem, NULL,
									   TUPLESORT_NONE);
	for (Size i = 0; i < queue->count; i++)
		PutInSort(queue, &queue->heap[i]);
	queue->count = 0;
	MemoryContextSwitchTo(caller);
}

void
IvfflatQueueAdd(IvfflatQueue *queue, double distance, const ItemPointerData *tid)
{
	IvfflatCandidate candidate = {.distance = distance, .tid = *tid};

	if (queue->sort == NULL && queue->count == queue->capacity)
	{
		Size		capacity = Max(queue->capacity * 2, 64);
		Size		allowed = (Size) work_mem * 1024 / sizeof(IvfflatCandidate);

		if (queue->count >= allowed)
			Spill(queue);
		else
		{
			capacity = Min(capacity, allowed);
			if (queue->heap == NULL)
				queue->heap = MemoryContextAllocHuge(queue->context, capacity * sizeof(IvfflatCandidate));
			else
				queue->heap = repalloc_huge(queue->heap, capacity * sizeof(IvfflatCandidate));
			queue->capacity = capacity;
		}
	}
	if (queue->sort != NULL)
		PutInSort(queue, &candidate);
	else
		queue->heap[queue->count++] = candidate;
}

/* What is not a number comes last, and equal distances in the order of the rows. */
static inline bool
IsBefore(const IvfflatCandidate *a, const IvfflatCandidate *b)
{
	if (a->distance < b->distance)
		return true;
	if (a->distance > b->distance)
		return false;
	if (a->distance != b->distance && isnan(a->distance) != isnan(b->distance))
		return isnan(b->distance);
	return ItemPointerCompare((ItemPointer) &a->tid, (ItemPointer) &b->tid) < 0;
}

static void
SiftDown(IvfflatCandidate *heap, Size count, Size place)
{
	IvfflatCandidate moved = heap[place];

	for (;;)
	{
		Size		child = 2 * place + 1;

		if (child >= count)
			break;
		if (child + 1 < count && IsBefore(&heap[child + 1], &heap[child]))
			child++;
		if (!IsBefore(&heap[child], &moved))
			break;
		heap[place] = heap[child];
		place = child;
	}
	heap[place] = moved;
}

/* To be called when all are added. */
void
IvfflatQueueReady(IvfflatQueue *queue)
{
	if (queue->sort != NULL)
	{
		tuplesort_performsort(queue->sort);
		return;
	}
	for (Size place = queue->count / 2; place > 0; place--)
		SiftDown(queue->heap, queue->count, place - 1);
}

bool
IvfflatQueueNext(IvfflatQueue *queue, IvfflatCandidate *next)
{
	if (queue->sort != NULL)
	{
		bool		isnull;

		if (!tuplesort_gettupleslot(queue->sort, true, false, queue->get_slot, NULL))
			return false;
		next->distance = DatumGetFloat8(slot_getattr(queue->get_slot, 1, &isnull));
		next->tid = *(ItemPointer) DatumGetPointer(slot_getattr(queue->get_slot, 2, &isnull));
		return true;
	}
	if (queue->count == 0)
		return false;
	*next = queue->heap[0];
	queue->heap[0] = queue->heap[--queue->count];
	if (queue->count > 0)
		SiftDown(queue->heap, queue->count, 0);
	return true;
}
