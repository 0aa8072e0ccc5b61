/*
 * Reading values that are stored out of line, in pieces, in a table of their own (TOAST).
 *
 * PostgreSQL finds the pieces of each value by an index, which takes several times as long as a distance of 1000 dimensions.
 * But who reads a table from its beginning to its end reads values in the order in which they were stored, mostly, so
 * that the pieces of one are right behind those of the one before. So they are looked for there, and by the index only if
 * they are not. A piece says which value it is of; whether it can be seen is decided by the same rules, of the same row.
 */
#include "ruvector.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/toast_internals.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/proc.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "varatt.h"

/* Larger values are not vectors that can be looked at fast. */
#define MOST_BYTES (16 * BLCKSZ)

/* Right behind the last piece that was read. */
typedef struct Place
{
	RelFileLocator locator;
	BlockNumber block;
	OffsetNumber offset;
	/* Where the block was in memory, if known. */
	Buffer		buffer;
	/* The last value was right behind the one before it, so that it is worth looking. */
	bool		in_order;
} Place;

static Place expected;

/*
 * Values that were read by the index last: all rows may be compared with one of them. From the second time on there is a copy,
 * for as long as the transaction; no other value gets its name in that time.
 */
typedef struct Repeated
{
	Oid			table;
	Oid			id;
	LocalTransactionId transaction;
	struct varlena *copy;
} Repeated;

/* One of the query, and one of the row with which reading goes on. */
static Repeated repeated[2];

typedef struct Value
{
	Relation	table;
	Oid			id;
	int32		size;
	int32		pieces;
	SnapshotData snapshot;
	char	   *data;
} Value;

/* Takes a piece, if it is what it should be. */
static bool
TakePiece(Value *value, HeapTuple tuple, int32 number)
{
	int32		wanted = number < value->pieces - 1 ? TOAST_MAX_CHUNK_SIZE
		: value->size - number * TOAST_MAX_CHUNK_SIZE;
	bool		isnull[3];
	Datum		columns[3];
	struct varlena *piece;

	heap_deform_tuple(tuple, RelationGetDescr(value->table), columns, isnull);
	if (isnull[0] || isnull[1] || isnull[2] ||
		DatumGetObjectId(columns[0]) != value->id || DatumGetInt32(columns[1]) != number)
		return false;
	piece = (struct varlena *) DatumGetPointer(columns[2]);
	if (VARATT_IS_EXTERNAL(piece) || VARATT_IS_COMPRESSED(piece) || VARSIZE_ANY_EXHDR(piece) != wanted)
		return false;
	memcpy(value->data + (Size) number * TOAST_MAX_CHUNK_SIZE, VARDATA_ANY(piece), wanted);
	return true;
}

/* Pins a block, if there is one. */
static Buffer
PinBlock(Relation table, BlockNumber block, Buffer known)
{
	if (BufferIsValid(known) && ReadRecentBuffer(table->rd_locator, MAIN_FORKNUM, block, known))
		return known;
	if (block >= RelationGetNumberOfBlocks(table))
		return InvalidBuffer;
	return ReadBuffer(table, block);
}

/* Takes pieces of a page from where they are expected. Returns how many have been taken then. */
static int32
TakeFromPage(Value *value, Buffer buffer, Place *place, int32 taken)
{
	Page		page;
	OffsetNumber last;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	last = PageIsNew(page) ? 0 : PageGetMaxOffsetNumber(page);
	while (taken < value->pieces && place->offset <= last)
	{
		ItemId		item = PageGetItemId(page, place->offset);
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
			break;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(value->table);
		ItemPointerSet(&tuple.t_self, place->block, place->offset);
		if (!HeapTupleSatisfiesVisibility(&tuple, &value->snapshot, buffer) || !TakePiece(value, &tuple, taken))
			break;
		taken++;
		place->offset++;
	}
	/* Without one of this page to go on with, the next page has it. */
	if (taken < value->pieces && place->offset > last)
	{
		place->block++;
		place->offset = FirstOffsetNumber;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return taken;
}

/* Reads a value from behind the last one. False if it is not there. */
static bool
ReadNext(Value *value)
{
	Place		place = expected;
	int32		taken = 0;
	int			misses = 0;

	if (!place.in_order || !RelFileLocatorEquals(place.locator, value->table->rd_locator))
		return false;
	while (taken < value->pieces)
	{
		Buffer		buffer = PinBlock(value->table, place.block, place.buffer);
		BlockNumber block = place.block;
		int32		before = taken;

		if (!BufferIsValid(buffer))
			return false;
		taken = TakeFromPage(value, buffer, &place, taken);
		place.buffer = block == place.block ? buffer : InvalidBuffer;
		ReleaseBuffer(buffer);
		/* Something else is in the place; or nothing, also on the next page. */
		if (taken == before && (block == place.block || ++misses > 1))
			return false;
	}
	expected = place;
	return true;
}

/* Notes where the pieces end of a value that the index has found. */
static void
Expect(Value *value, ItemPointer first, ItemPointer last)
{
	BlockNumber block = ItemPointerGetBlockNumber(first);
	OffsetNumber offset = ItemPointerGetOffsetNumber(first);

	expected.in_order = RelFileLocatorEquals(expected.locator, value->table->rd_locator) &&
		((block == expected.block && offset == expected.offset) ||
		 (block == expected.block + 1 && offset == FirstOffsetNumber));
	expected.locator = value->table->rd_locator;
	expected.block = ItemPointerGetBlockNumber(last);
	expected.offset = OffsetNumberNext(ItemPointerGetOffsetNumber(last));
	expected.buffer = InvalidBuffer;
}

/* Reads a value by the index. False if something is not as it should be. */
static bool
ReadByIndex(Value *value)
{
	Relation   *indexes;
	int			index_count;
	int			valid = toast_open_indexes(value->table, AccessShareLock, &indexes, &index_count);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int32		taken = 0;
	bool		good = true;
	ItemPointerData first = {0};
	ItemPointerData last = {0};

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value->id));
	scan = systable_beginscan_ordered(value->table, indexes[valid], &value->snapshot, 1, &key);
	while (good && (tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		good = taken < value->pieces && TakePiece(value, tuple, taken);
		if (taken++ == 0)
			first = tuple->t_self;
		last = tuple->t_self;
	}
	if (taken > 0)
		Expect(value, &first, &last);
	systable_endscan_ordered(scan);
	toast_close_indexes(indexes, index_count, AccessShareLock);
	return good && taken == value->pieces;
}

static Repeated *
FindRepeated(const struct varatt_external *pointer)
{
	for (int i = 0; i < lengthof(repeated); i++)
		if (repeated[i].id == pointer->va_valueid && repeated[i].table == pointer->va_toastrelid &&
			repeated[i].transaction == MyProc->vxid.lxid)
			return &repeated[i];
	return NULL;
}

/* A place for another one: where there is none of this transaction, or none with a copy, or by turns. */
static Repeated *
FreeRepeated(void)
{
	static int	turn = 0;

	for (int i = 0; i < lengthof(repeated); i++)
		if (repeated[i].transaction != MyProc->vxid.lxid)
			return &repeated[i];
	for (int i = 0; i < lengthof(repeated); i++)
	{
		turn = (turn + 1) % lengthof(repeated);
		if (repeated[turn].copy == NULL)
			break;
	}
	return &repeated[turn];
}

/* Remembers which value was read by the index; and all of it, if it was so before. */
static void
Remember(const struct varatt_external *pointer, const struct varlena *value)
{
	Repeated   *found = FindRepeated(pointer);

	if (found != NULL && found->copy == NULL)
	{
		found->copy = MemoryContextAlloc(TopMemoryContext, VARSIZE(value));
		memcpy(found->copy, value, VARSIZE(value));
	}
	if (found != NULL)
		return;
	found = FreeRepeated();
	if (found->copy != NULL)
		pfree(found->copy);
	*found = (Repeated) {pointer->va_toastrelid, pointer->va_valueid, MyProc->vxid.lxid, NULL};
}

/*
 * A value with all its bytes; as PG_DETOAST_DATUM.
 */
struct varlena *
Detoasted(Datum datum)
{
	struct varlena *stored = (struct varlena *) DatumGetPointer(datum);
	struct varatt_external pointer;
	struct varlena *result;
	Repeated   *known;
	Value		value;
	bool		read;

	if (!VARATT_IS_EXTERNAL_ONDISK(stored))
		return pg_detoast_datum(stored);
	VARATT_EXTERNAL_GET_POINTER(pointer, stored);
	value.size = VARATT_EXTERNAL_GET_EXTSIZE(pointer);
	/* Without a snapshot there is an error, which is not ours. */
	if (VARATT_EXTERNAL_IS_COMPRESSED(pointer) || value.size <= 0 || value.size > MOST_BYTES ||
		!HaveRegisteredOrActiveSnapshot())
		return pg_detoast_datum(stored);

	value.id = pointer.va_valueid;
	value.pieces = (value.size - 1) / TOAST_MAX_CHUNK_SIZE + 1;
	result = palloc(value.size + VARHDRSZ);
	SET_VARSIZE(result, value.size + VARHDRSZ);
	known = FindRepeated(&pointer);
	if (known != NULL && known->copy != NULL && VARSIZE(known->copy) == VARSIZE(result))
		return memcpy(result, known->copy, VARSIZE(result));
	value.data = VARDATA(result);
	value.table = table_open(pointer.va_toastrelid, AccessShareLock);
	if (value.table->rd_tableam != GetHeapamTableAmRoutine())
		read = false;
	else
	{
		init_toast_snapshot(&value.snapshot);
		read = ReadNext(&value);
		if (!read && ReadByIndex(&value))
		{
			read = true;
			Remember(&pointer, result);
		}
	}
	/* Another value will be wanted of it soon. The table that it belongs to is locked until the end, too. */
	table_close(value.table, NoLock);
	if (!read)
	{
		pfree(result);
		return pg_detoast_datum(stored);
	}
	return result;
}
