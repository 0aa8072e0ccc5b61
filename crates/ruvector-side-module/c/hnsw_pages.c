/*
 * Reading pages of hnsw, and the functions that Rust calls for it. All that is read of a page is checked before it is
 * used: damaged ones give an error.
 */
#include "hnsw.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "storage/bufpage.h"

extern bool hnsw_entry(HnswAccess *access, uint64 *id, uint32 *level);
extern bool hnsw_links(HnswAccess *access, uint64 id, uint32 layer, uint64 *links, uint32 *count);
extern bool hnsw_visit(HnswAccess *access, const void *query, const uint64 *ids, uint32 count, uint32 layer,
					   HnswVisit *visits);
extern bool hnsw_load(HnswAccess *access, const uint64 *ids, uint32 count, char *codes, uint32 room,
					  uint32 *lengths, uint32 *states);

void
HnswCorrupted(Relation index, BlockNumber block)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" contains a damaged page at block %u",
					RelationGetRelationName(index), block),
			 errhint("Please REINDEX it.")));
}

/*
 * The page of a buffer, if it is one of an index like this; NULL if it is new, as pages are that were added just before a
 * crash.
 */
Page
HnswCheckPageOf(Relation index, Buffer buffer, uint16 page_id)
{
	Page		page = BufferGetPage(buffer);
	PageHeader	header = (PageHeader) page;

	if (PageIsNew(page))
		return NULL;
	if (header->pd_special != BLCKSZ - MAXALIGN(sizeof(HnswOpaque)) ||
		header->pd_upper > header->pd_special || header->pd_lower > header->pd_upper ||
		header->pd_lower < SizeOfPageHeaderData || HnswPageOpaque(page)->page_id != page_id)
		HnswCorrupted(index, BufferGetBlockNumber(buffer));
	return page;
}

/* That of the first block, or one with elements. */
Page
HnswCheckPage(Relation index, Buffer buffer)
{
	return HnswCheckPageOf(index, buffer, HNSW_PAGE_ID);
}

/*
 * An item, and how many bytes it has; NULL if there is none.
 */
Item
HnswGetItem(Relation index, Page page, BlockNumber block, OffsetNumber offset, Size *size)
{
	PageHeader	header = (PageHeader) page;
	ItemId		pointer;
	Item		item;

	if (offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return NULL;
	pointer = PageGetItemId(page, offset);
	if (!ItemIdIsUsed(pointer))
		return NULL;
	*size = ItemIdGetLength(pointer);
	if (!ItemIdIsNormal(pointer) || ItemIdGetOffset(pointer) < header->pd_upper ||
		ItemIdGetOffset(pointer) % MAXIMUM_ALIGNOF != 0 ||
		ItemIdGetOffset(pointer) + *size > header->pd_special || *size < offsetof(HnswLinks, links))
		HnswCorrupted(index, block);
	item = PageGetItem(page, pointer);
	/* Whatever took the place of something else is one of these. */
	if (((HnswElement *) item)->type != HNSW_ELEMENT && ((HnswLinks *) item)->type != HNSW_LINKS)
		HnswCorrupted(index, block);
	return item;
}

/*
 * An element of a page that is locked; NULL if it is gone.
 */
HnswElement *
HnswGetElement(HnswAccess *access, Page page, uint64 id)
{
	BlockNumber block = HnswIdBlock(id);
	const HnswInfo *info = access->info;
	Size		size;
	HnswElement *element;

	if (page == NULL || block < info->first_block)
		HnswCorrupted(access->index, block);
	element = (HnswElement *) HnswGetItem(access->index, page, block, HnswIdOffset(id), &size);
	if (element == NULL || element->type != HNSW_ELEMENT || size < HnswElementSize(0) ||
		element->version != HnswIdVersion(id))
		return NULL;
	if (size < HnswElementSize(element->code_length) || element->level > info->highest_level ||
		element->row_count > HNSW_ROWS ||
		(info->code_length > 0 ? element->code_length != info->code_length
		 : element->code_length > info->settings.room || element->code_length % 8 != 0))
		HnswCorrupted(access->index, block);
	return element;
}

/*
 * The links of an element, on a page that is locked; NULL if they are gone.
 */
HnswLinks *
HnswGetLinks(HnswAccess *access, Page page, BlockNumber block, OffsetNumber offset, uint16 version, uint8 level)
{
	Size		size;
	HnswLinks  *links;

	if (page == NULL || block < access->info->first_block)
		HnswCorrupted(access->index, block);
	links = (HnswLinks *) HnswGetItem(access->index, page, block, offset, &size);
	if (links == NULL || links->type != HNSW_LINKS || links->version != version)
		return NULL;
	if (links->level != level || size < HnswLinksSize(level, access->info->settings.m))
		HnswCorrupted(access->index, block);
	return links;
}

/*
 * Where pages were in the buffer pool when this process last read them. Searches read hundreds of pages each, and most
 * are still there: looking there first saves the lock of the table in which buffers are found. An entry may be wrong in
 * any way, since what it leads to is checked.
 */
typedef struct RecentBuffer
{
	RelFileLocator locator;
	BlockNumber block;
	Buffer		buffer;
} RecentBuffer;

#define RECENT_BUFFERS 8192

static RecentBuffer recent_buffers[RECENT_BUFFERS];

/*
 * The processor is told of what will be read soon, where it can be: on native platforms. That is only a hint, so that
 * nothing needs to be locked or right.
 */
#if defined(__x86_64__) || defined(__aarch64__)
#define PREFETCH_AHEAD 4
#define PREFETCH_LINE 64
#define PREFETCH_MOST 1024

static void
PrefetchPage(HnswAccess *access, uint64 id)
{
	BlockNumber block = HnswIdBlock(id);
	RelFileNumber file = access->index->rd_locator.relNumber;
	RecentBuffer *recent = &recent_buffers[(block + file * 31) % RECENT_BUFFERS];
	char	   *page;

	if (recent->block != block || recent->locator.relNumber != file || recent->buffer <= 0 ||
		recent->buffer > NBuffers)
		return;
	page = BufferGetPage(recent->buffer);
	__builtin_prefetch(GetBufferDescriptor(recent->buffer - 1), 1);
	__builtin_prefetch(page);
	__builtin_prefetch(page + SizeOfPageHeaderData + sizeof(ItemIdData) * HnswIdOffset(id) % BLCKSZ);
	__builtin_prefetch(page + BLCKSZ - sizeof(HnswOpaque));
}

static void
PrefetchCode(const HnswElement *element)
{
	for (Size at = 0; at < Min(element->code_length, PREFETCH_MOST); at += PREFETCH_LINE)
		__builtin_prefetch(element->code + at);
}
#else
#define PREFETCH_AHEAD 0
#define PrefetchPage(access, id) ((void) 0)
#define PrefetchCode(element) ((void) 0)
#endif

static Buffer
FindBuffer(HnswAccess *access, BlockNumber block)
{
	Relation	index = access->index;
	RecentBuffer *recent = &recent_buffers[(block + index->rd_locator.relNumber * 31) % RECENT_BUFFERS];

	if (BufferIsValid(recent->buffer) && recent->block == block &&
		RelFileLocatorEquals(recent->locator, index->rd_locator) &&
		ReadRecentBuffer(index->rd_locator, MAIN_FORKNUM, block, recent->buffer))
	{
		pgstat_count_buffer_read(index);
		pgstat_count_buffer_hit(index);
		return recent->buffer;
	}
	recent->locator = index->rd_locator;
	recent->block = block;
	recent->buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, access->strategy);
	return recent->buffer;
}

Buffer
HnswReadBuffer(HnswAccess *access, BlockNumber block, int mode)
{
	Buffer		buffer;

	if (block < access->info->first_block || block > MaxBlockNumber)
		HnswCorrupted(access->index, block);
	buffer = FindBuffer(access, block);
	LockBuffer(buffer, mode);
	return buffer;
}

void
HnswGetEntry(HnswAccess *access, uint64 *id, uint32 *level)
{
	Buffer		buffer = ReadBuffer(access->index, HNSW_META_BLOCK);
	Page		page;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = HnswCheckPage(access->index, buffer);
	if (page == NULL || HnswPageMeta(page)->magic != HNSW_MAGIC ||
		HnswPageMeta(page)->entry_level > access->info->highest_level)
		HnswCorrupted(access->index, HNSW_META_BLOCK);
	*id = HnswPageMeta(page)->entry;
	*level = HnswPageMeta(page)->entry_level;
	UnlockReleaseBuffer(buffer);
}

static void
ReadLinks(HnswAccess *access, uint64 id, uint32 layer, uint64 *into, uint32 *count)
{
	uint32		m = access->info->settings.m;
	Buffer		buffer = HnswReadBuffer(access, HnswIdBlock(id), BUFFER_LOCK_SHARE);
	Page		page = HnswCheckPage(access->index, buffer);
	HnswElement *element = HnswGetElement(access, page, id);
	HnswLinks  *links;

	*count = 0;
	if (element != NULL && layer <= element->level)
	{
		BlockNumber block = ItemPointerGetBlockNumberNoCheck(&element->links);
		OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&element->links);
		uint8		level = element->level;

		if (block != HnswIdBlock(id))
		{
			UnlockReleaseBuffer(buffer);
			buffer = HnswReadBuffer(access, block, BUFFER_LOCK_SHARE);
			page = HnswCheckPage(access->index, buffer);
		}
		links = HnswGetLinks(access, page, block, offset, HnswIdVersion(id), level);
		if (links != NULL)
		{
			uint64	   *list = links->links + (layer == 0 ? 0 : (layer + 1) * m);
			uint32		room = layer == 0 ? 2 * m : m;

			for (uint32 i = 0; i < room; i++)
			{
				if (list[i] != 0)
					into[(*count)++] = list[i];
			}
		}
	}
	UnlockReleaseBuffer(buffer);
}

static void
VisitElements(HnswAccess *access, const void *query, const uint64 *ids, uint32 count, uint32 layer,
			  HnswVisit *visits)
{
	Buffer		buffer = InvalidBuffer;
	Page		page = NULL;
	BlockNumber locked = InvalidBlockNumber;

	CHECK_FOR_INTERRUPTS();
	for (uint32 i = 0; i < Min(PREFETCH_AHEAD, count); i++)
		PrefetchPage(access, ids[i]);
	for (uint32 i = 0; i < count; i++)
	{
		HnswElement *element;

		if (i + PREFETCH_AHEAD < count)
			PrefetchPage(access, ids[i + PREFETCH_AHEAD]);
		/* Elements on one page often follow each other. */
		if (HnswIdBlock(ids[i]) != locked)
		{
			if (BufferIsValid(buffer))
				UnlockReleaseBuffer(buffer);
			locked = HnswIdBlock(ids[i]);
			buffer = HnswReadBuffer(access, locked, BUFFER_LOCK_SHARE);
			page = HnswCheckPage(access->index, buffer);
		}
		element = HnswGetElement(access, page, ids[i]);
		if (element == NULL || layer > element->level)
		{
			visits[i].state = HNSW_STATE_GONE;
			continue;
		}
		PrefetchCode(element);
		visits[i].state = element->row_count > 0 ? HNSW_STATE_LIVE : HNSW_STATE_DEAD;
		visits[i].distance = ruvector_hnsw_order(query, element->code, element->code_length);
	}
	if (BufferIsValid(buffer))
		UnlockReleaseBuffer(buffer);
}

static void
LoadElements(HnswAccess *access, const uint64 *ids, uint32 count, char *codes, uint32 room, uint32 *lengths,
			 uint32 *states)
{
	CHECK_FOR_INTERRUPTS();
	for (uint32 i = 0; i < count; i++)
	{
		Buffer		buffer = HnswReadBuffer(access, HnswIdBlock(ids[i]), BUFFER_LOCK_SHARE);
		Page		page = HnswCheckPage(access->index, buffer);
		HnswElement *element = HnswGetElement(access, page, ids[i]);

		if (element == NULL || element->code_length > room)
			states[i] = HNSW_STATE_GONE;
		else
		{
			states[i] = element->row_count > 0 ? HNSW_STATE_LIVE : HNSW_STATE_DEAD;
			lengths[i] = element->code_length;
			memcpy(codes + (Size) room * i, element->code, element->code_length);
		}
		UnlockReleaseBuffer(buffer);
	}
}

bool
hnsw_entry(HnswAccess *access, uint64 *id, uint32 *level)
{
	HNSW_CATCH(HnswGetEntry(access, id, level));
}

bool
hnsw_links(HnswAccess *access, uint64 id, uint32 layer, uint64 *links, uint32 *count)
{
	HNSW_CATCH(ReadLinks(access, id, layer, links, count));
}

bool
hnsw_visit(HnswAccess *access, const void *query, const uint64 *ids, uint32 count, uint32 layer, HnswVisit *visits)
{
	HNSW_CATCH(VisitElements(access, query, ids, count, layer, visits));
}

bool
hnsw_load(HnswAccess *access, const uint64 *ids, uint32 count, char *codes, uint32 room, uint32 *lengths,
		  uint32 *states)
{
	HNSW_CATCH(LoadElements(access, ids, count, codes, room, lengths, states));
}
