/*
 * Pages of `ivfflat`. Whatever is read from one is checked, so that a damaged page is an error and nothing worse.
 */
#include "ivfflat.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"

void
IvfflatCorrupt(Relation index, BlockNumber block, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" has a damaged page at block %u", RelationGetRelationName(index), block),
			 errdetail_internal("%s", what),
			 errhint("Rebuild it with REINDEX.")));
}

void
IvfflatInitPage(Page page)
{
	IvfflatTail *tail;

	PageInit(page, BLCKSZ, sizeof(IvfflatTail));
	tail = IvfflatPageTail(page);
	tail->next = InvalidBlockNumber;
	tail->page_id = IVFFLAT_PAGE_ID;
}

/* Of a page that has been checked. */
IvfflatTail *
IvfflatPageTail(Page page)
{
	return (IvfflatTail *) PageGetSpecialPointer(page);
}

/* The page of a locked buffer, if it is one of an index of this kind. */
Page
IvfflatCheckPage(Relation index, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	PageHeader	header = (PageHeader) page;
	BlockNumber block = BufferGetBlockNumber(buffer);

	if (PageIsNew(page))
		IvfflatCorrupt(index, block, "It has never been written.");
	if (header->pd_special != BLCKSZ - MAXALIGN(sizeof(IvfflatTail)) ||
		header->pd_lower < SizeOfPageHeaderData || header->pd_lower > header->pd_upper ||
		header->pd_upper > header->pd_special)
		IvfflatCorrupt(index, block, "Its header is not that of an ivfflat index.");
	if (IvfflatPageTail(page)->page_id != IVFFLAT_PAGE_ID)
		IvfflatCorrupt(index, block, "It is not a page of an ivfflat index.");
	return page;
}

/* An item of a checked page, of at least so many bytes. */
void *
IvfflatItem(Relation index, BlockNumber block, Page page, OffsetNumber offset, Size least, Size *size)
{
	ItemId		item = PageGetItemId(page, offset);
	PageHeader	header = (PageHeader) page;

	if (!ItemIdIsNormal(item) || ItemIdGetOffset(item) < header->pd_upper ||
		ItemIdGetOffset(item) != MAXALIGN(ItemIdGetOffset(item)) ||
		ItemIdGetOffset(item) + ItemIdGetLength(item) > header->pd_special || ItemIdGetLength(item) < least)
		IvfflatCorrupt(index, block, "An item lies outside of its place.");
	*size = ItemIdGetLength(item);
	return PageGetItem(page, item);
}

/*
 * How many lists and dimensions the index was built with.
 */
void
IvfflatReadMeta(Relation index, int *lists, int *dimensions)
{
	Buffer		buffer = ReadBuffer(index, IVFFLAT_META_BLOCK);
	Page		page;
	IvfflatMeta *meta;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	meta = (IvfflatMeta *) PageGetContents(page);
	if (PageIsNew(page) || meta->magic != IVFFLAT_MAGIC || meta->version != IVFFLAT_VERSION ||
		meta->lists < 1 || meta->lists > IVFFLAT_MAX_LISTS)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("ivfflat index is not valid")));
	*lists = meta->lists;
	if (dimensions != NULL)
		*dimensions = meta->dimensions;
	UnlockReleaseBuffer(buffer);
}

IvfflatChain
IvfflatStartChain(Relation index)
{
	IvfflatChain chain = {.index = index};

	return chain;
}

/*
 * To be called for each page before it is read. A chain that has more pages than the index goes round in circles.
 */
void
IvfflatNextInChain(IvfflatChain *chain, BlockNumber block)
{
	CHECK_FOR_INTERRUPTS();
	if (block >= chain->limit || ++chain->visited > chain->limit)
	{
		/* The index may have grown. */
		chain->limit = RelationGetNumberOfBlocks(chain->index);
		if (block >= chain->limit || chain->visited > chain->limit)
			IvfflatCorrupt(chain->index, block, "A chain of pages leads out of the index or to itself.");
	}
}

/*
 * Calls a function for each list, with the distance of its centre. The function must not read or lock anything.
 */
void
IvfflatVisitLists(Relation index, const IvfflatSupport *support, const IvfflatQuery *query, IvfflatVisitor visit,
				  void *state)
{
	IvfflatChain chain = IvfflatStartChain(index);
	IvfflatListPlace place = {.block = IVFFLAT_FIRST_LIST_BLOCK};
	Size		least = offsetof(IvfflatList, center) + IvfflatDatumSize(support);
	Datum		data[MaxIndexTuplesPerPage];
	const char *numbers[MaxIndexTuplesPerPage];
	double		distances[MaxIndexTuplesPerPage];

	while (BlockNumberIsValid(place.block))
	{
		Buffer		buffer;
		Page		page;
		OffsetNumber count;

		IvfflatNextInChain(&chain, place.block);
		buffer = ReadBuffer(index, place.block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = IvfflatCheckPage(index, buffer);
		count = PageGetMaxOffsetNumber(page);
		if (count > MaxIndexTuplesPerPage)
			IvfflatCorrupt(index, place.block, "It has too many items.");

		for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
		{
			Size		size;
			IvfflatList *list = IvfflatItem(index, place.block, page, offset, least, &size);

			data[offset - 1] = PointerGetDatum(list->center);
			numbers[offset - 1] = IvfflatDatumNumbers(support, (struct varlena *) list->center,
													  size - offsetof(IvfflatList, center));
			if (numbers[offset - 1] == NULL || VARATT_IS_SHORT(list->center))
				IvfflatCorrupt(index, place.block, "A centre is not a value of the index.");
		}
		IvfflatDistances(support, query, data, numbers, count, distances);
		for (place.offset = FirstOffsetNumber; place.offset <= count; place.offset++)
			visit(state, place, (IvfflatList *) PageGetItem(page, PageGetItemId(page, place.offset)),
				  distances[place.offset - 1]);

		place.block = IvfflatPageTail(page)->next;
		UnlockReleaseBuffer(buffer);
	}
}

/*
 * Changes where a list is looked through for room, unless another session has changed it since. Without `from`, it is
 * changed in any case.
 */
void
IvfflatMoveInsertPage(Relation index, IvfflatListPlace place, BlockNumber from, BlockNumber to)
{
	Buffer		buffer = ReadBuffer(index, place.block);
	Page		page;
	IvfflatList *list;
	Size		size;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = IvfflatCheckPage(index, buffer);
	if (place.offset > PageGetMaxOffsetNumber(page))
		IvfflatCorrupt(index, place.block, "A list has vanished.");
	list = IvfflatItem(index, place.block, page, place.offset, offsetof(IvfflatList, center), &size);
	if (list->insert != to && (list->insert == from || !BlockNumberIsValid(from)))
	{
		GenericXLogState *record = GenericXLogStart(index);

		page = GenericXLogRegisterBuffer(record, buffer, 0);
		list = (IvfflatList *) PageGetItem(page, PageGetItemId(page, place.offset));
		list->insert = to;
		GenericXLogFinish(record);
	}
	UnlockReleaseBuffer(buffer);
}
