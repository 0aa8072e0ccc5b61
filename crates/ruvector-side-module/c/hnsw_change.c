/*
 * Changing pages of hnsw. Changes are logged as generic ones of whole pages, so that replay gives the same pages; but for
 * those of an index that is being built, which is logged at the end.
 */
#include "hnsw.h"

#include "miscadmin.h"
#include "storage/bufpage.h"
#include "storage/freespace.h"

extern bool hnsw_replace_link(HnswAccess *access, uint64 id, uint32 layer, uint64 dropped, uint64 added,
							  uint32 *changed);

void
HnswInitPage(Page page)
{
	HnswOpaque *opaque;

	PageInit(page, BLCKSZ, sizeof(HnswOpaque));
	opaque = HnswPageOpaque(page);
	memset(opaque, 0, sizeof(HnswOpaque));
	opaque->page_id = HNSW_PAGE_ID;
}

void
HnswInitMeta(Page page, const HnswInfo *info)
{
	HnswMeta   *meta;

	HnswInitPage(page);
	meta = HnswPageMeta(page);
	memset(meta, 0, sizeof(HnswMeta));
	meta->magic = HNSW_MAGIC;
	meta->layout = HNSW_LAYOUT;
	meta->dimensions = info->dimensions;
	meta->m = info->settings.m;
	meta->ef_construction = info->settings.ef_construction;
	meta->kind = info->settings.kind;
	meta->metric = info->settings.metric;
	meta->quantizer = info->settings.quantizer;
	if (HnswHasCenters(info))
	{
		meta->parameter_pages = info->parameter_pages;
		meta->step = info->settings.step;
		meta->checksum = HnswChecksum(info, meta->step);
		meta->seed = info->settings.seed;
	}
	/* What is between pd_lower and pd_upper is not logged. */
	((PageHeader) page)->pd_lower = (char *) meta + sizeof(HnswMeta) - (char *) page;
}

void
HnswBeginChange(HnswChange *change, HnswAccess *access)
{
	change->access = access;
	change->state = access->building ? NULL : GenericXLogStart(access->index);
	change->count = 0;
}

/* The page to be changed, of a buffer that is locked for it. */
Page
HnswChangePage(HnswChange *change, Buffer buffer, bool whole)
{
	change->buffers[change->count++] = buffer;
	if (change->state == NULL)
		return BufferGetPage(buffer);
	return GenericXLogRegisterBuffer(change->state, buffer, whole ? GENERIC_XLOG_FULL_IMAGE : 0);
}

void
HnswFinishChange(HnswChange *change)
{
	if (change->state != NULL)
	{
		GenericXLogFinish(change->state);
		return;
	}
	for (int i = 0; i < change->count; i++)
		MarkBufferDirty(change->buffers[i]);
}

/* Before anything was changed. */
void
HnswAbortChange(HnswChange *change)
{
	if (change->state != NULL)
		GenericXLogAbort(change->state);
}

/*
 * Searches begin at an element from now on; if it is on a higher layer than where they do, or always.
 */
void
HnswSetEntry(HnswAccess *access, uint64 id, uint32 level, bool always)
{
	Buffer		buffer = ReadBuffer(access->index, HNSW_META_BLOCK);
	HnswChange	change;
	HnswMeta   *meta;
	Page		page;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = HnswCheckPage(access->index, buffer);
	if (page == NULL)
		HnswCorrupted(access->index, HNSW_META_BLOCK);
	meta = HnswPageMeta(page);
	if (always || meta->entry == 0 || meta->entry_level < level)
	{
		HnswBeginChange(&change, access);
		meta = HnswPageMeta(HnswChangePage(&change, buffer, false));
		meta->entry = id;
		meta->entry_level = level;
		HnswFinishChange(&change);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * A page with room for items of a size, locked. It may be new. If another page is locked already, it is not that one, and
 * nothing is waited for.
 */
static Buffer
GetRoom(HnswAccess *access, Size needed, Buffer other)
{
	Relation	index = access->index;
	bool		alone = !BufferIsValid(other);
	BlockNumber other_block = alone ? InvalidBlockNumber : BufferGetBlockNumber(other);
	BlockNumber block = alone ? RelationGetTargetBlock(index) : InvalidBlockNumber;
	BlockNumber blocks;
	Buffer		buffer;

	blocks = RelationGetNumberOfBlocks(index);
	if (!BlockNumberIsValid(block))
		block = GetPageWithFreeSpace(index, needed);
	/* One that was added lately may have room, which the map does not know of. */
	if (!BlockNumberIsValid(block) && blocks > access->info->first_block)
		block = blocks - 1;

	/* The map may be of another time: each wrong entry is put right, so this ends. */
	while (BlockNumberIsValid(block))
	{
		Page		page;
		Size		room = 0;
		bool		locked = true;

		if (block < access->info->first_block || block == other_block)
			break;
		if (block >= blocks)
		{
			block = RecordAndGetPageWithFreeSpace(index, block, 0, needed);
			continue;
		}
		buffer = ReadBuffer(index, block);
		if (alone)
			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		else
			locked = ConditionalLockBuffer(buffer);
		if (!locked)
		{
			ReleaseBuffer(buffer);
			break;
		}
		page = HnswCheckPage(index, buffer);
		room = page == NULL ? HNSW_PAGE_ROOM : PageGetExactFreeSpace(page);
		if (room >= needed)
		{
			if (alone)
				RelationSetTargetBlock(index, block);
			return buffer;
		}
		UnlockReleaseBuffer(buffer);
		if (RelationGetTargetBlock(index) == block)
			RelationSetTargetBlock(index, InvalidBlockNumber);
		block = RecordAndGetPageWithFreeSpace(index, block, room, needed);
	}

	buffer = ExtendBufferedRel(BMR_REL(index), MAIN_FORKNUM, access->strategy, EB_LOCK_FIRST);
	if (alone)
		RelationSetTargetBlock(index, BufferGetBlockNumber(buffer));
	return buffer;
}

/* The page of such a buffer, to be changed. */
static Page
ChangeRoom(HnswChange *change, Buffer buffer)
{
	bool		new = PageIsNew(BufferGetPage(buffer));
	Page		page = HnswChangePage(change, buffer, new);

	if (new)
		HnswInitPage(page);
	return page;
}

static OffsetNumber
AddItem(HnswAccess *access, Page page, void *item, Size size)
{
	OffsetNumber offset = PageAddItem(page, (Item) item, size, InvalidOffsetNumber, false, false);

	if (offset == InvalidOffsetNumber)
		elog(ERROR, "failed to add index item to \"%s\"", RelationGetRelationName(access->index));
	return offset;
}

/*
 * Puts a new element and its links on pages. Its version and the place of its links are filled in.
 */
uint64
HnswAddElement(HnswAccess *access, HnswElement *element, HnswLinks *links)
{
	Size		element_size = HnswElementSize(element->code_length);
	Size		links_size = HnswLinksSize(element->level, access->info->settings.m);
	Size		together = HnswItemRoom(element_size) + HnswItemRoom(links_size);
	bool		one_page = together <= HNSW_PAGE_ROOM;
	Buffer		buffer = GetRoom(access, one_page ? together : HnswItemRoom(element_size), InvalidBuffer);
	Buffer		links_buffer = one_page ? buffer : GetRoom(access, HnswItemRoom(links_size), buffer);
	HnswChange	change;
	Page		page;
	Page		links_page;
	OffsetNumber offset;
	OffsetNumber links_offset;
	HnswElement *added;
	uint64		id;

	HnswBeginChange(&change, access);
	page = ChangeRoom(&change, buffer);
	links_page = one_page ? page : ChangeRoom(&change, links_buffer);
	element->version = links->version = ++HnswPageOpaque(page)->versions;
	offset = AddItem(access, page, element, element_size);
	links_offset = AddItem(access, links_page, links, links_size);
	/* Where its links are is known only now. */
	added = (HnswElement *) PageGetItem(page, PageGetItemId(page, offset));
	ItemPointerSet(&added->links, BufferGetBlockNumber(links_buffer), links_offset);
	id = HnswId(BufferGetBlockNumber(buffer), offset, element->version);
	HnswFinishChange(&change);

	if (links_buffer != buffer)
		UnlockReleaseBuffer(links_buffer);
	UnlockReleaseBuffer(buffer);
	return id;
}

/*
 * Adds a row to an element that has the same code, if there is a place for it, and it is not about to be removed.
 */
bool
HnswAddRow(HnswAccess *access, uint64 id, HnswCode code, ItemPointer row)
{
	Buffer		buffer = HnswReadBuffer(access, HnswIdBlock(id), BUFFER_LOCK_EXCLUSIVE);
	Page		page = HnswCheckPage(access->index, buffer);
	HnswElement *element = HnswGetElement(access, page, id);
	bool		added = element != NULL && element->row_count > 0 && element->row_count < HNSW_ROWS &&
		element->code_length == code.length && memcmp(element->code, code.data, code.length) == 0;

	if (added)
	{
		HnswChange	change;

		HnswBeginChange(&change, access);
		element = HnswGetElement(access, HnswChangePage(&change, buffer, false), id);
		element->rows[element->row_count++] = *row;
		HnswFinishChange(&change);
	}
	UnlockReleaseBuffer(buffer);
	return added;
}

/*
 * Locks the page with an element's links for a change, and returns these; NULL if they are gone, and nothing is locked.
 */
static HnswLinks *
LockLinks(HnswAccess *access, uint64 id, Buffer *buffer, ItemPointer place)
{
	HnswElement *element;
	HnswLinks  *links;
	BlockNumber block;
	uint8		level;

	*buffer = HnswReadBuffer(access, HnswIdBlock(id), BUFFER_LOCK_EXCLUSIVE);
	element = HnswGetElement(access, HnswCheckPage(access->index, *buffer), id);
	if (element == NULL)
	{
		UnlockReleaseBuffer(*buffer);
		return NULL;
	}
	*place = element->links;
	level = element->level;
	block = ItemPointerGetBlockNumberNoCheck(place);
	if (block != HnswIdBlock(id))
	{
		UnlockReleaseBuffer(*buffer);
		*buffer = HnswReadBuffer(access, block, BUFFER_LOCK_EXCLUSIVE);
	}
	links = HnswGetLinks(access, HnswCheckPage(access->index, *buffer), block,
						 ItemPointerGetOffsetNumberNoCheck(place), HnswIdVersion(id), level);
	if (links == NULL)
		UnlockReleaseBuffer(*buffer);
	return links;
}

static HnswLinks *
ChangeLinks(HnswChange *change, Buffer buffer, ItemPointer place)
{
	Page		page = HnswChangePage(change, buffer, false);

	return (HnswLinks *) PageGetItem(page, PageGetItemId(page, ItemPointerGetOffsetNumberNoCheck(place)));
}

static bool
Contains(const uint64 *links, uint32 count, uint64 link)
{
	for (uint32 i = 0; i < count; i++)
	{
		if (links[i] == link)
			return true;
	}
	return false;
}

/* One list of an element: what is not dead stays, as it may be the only link to where it leads. */
static void
FillList(uint64 *old, const uint64 *new, uint32 room, bool (*is_dead) (const void *, uint64), const void *state)
{
	uint32		count = 0;

	for (uint32 i = 0; i < room; i++)
	{
		if (old[i] != 0 && !is_dead(state, old[i]))
			old[count++] = old[i];
	}
	for (uint32 i = 0; i < room && count < room; i++)
	{
		if (new[i] != 0 && !Contains(old, count, new[i]))
			old[count++] = new[i];
	}
	memset(old + count, 0, sizeof(uint64) * (room - count));
}

/*
 * Takes dead elements out of the links of one, and puts new links in all places that are free then.
 */
void
HnswFillLinks(HnswAccess *access, uint64 id, const uint64 *links, bool (*is_dead) (const void *, uint64),
			  const void *state)
{
	uint32		m = access->info->settings.m;
	Buffer		buffer;
	ItemPointerData place;
	HnswLinks  *old = LockLinks(access, id, &buffer, &place);
	HnswChange	change;

	if (old == NULL)
		return;
	HnswBeginChange(&change, access);
	old = ChangeLinks(&change, buffer, &place);
	FillList(old->links, links, 2 * m, is_dead, state);
	for (uint32 start = 2 * m; start < HnswLinkCount(old->level, m); start += m)
		FillList(old->links + start, links + start, m, is_dead, state);
	HnswFinishChange(&change);
	UnlockReleaseBuffer(buffer);
}

static void
ReplaceLink(HnswAccess *access, uint64 id, uint32 layer, uint64 dropped, uint64 added, uint32 *changed)
{
	uint32		m = access->info->settings.m;
	uint32		start = layer == 0 ? 0 : (layer + 1) * m;
	uint32		room = layer == 0 ? 2 * m : m;
	int			at = -1;
	Buffer		buffer;
	ItemPointerData place;
	HnswLinks  *links = LockLinks(access, id, &buffer, &place);

	*changed = 1;
	if (links == NULL)
		return;
	if (layer <= links->level)
	{
		for (uint32 i = 0; i < room; i++)
		{
			if (links->links[start + i] == added)
			{
				at = -1;
				dropped = added;
				break;
			}
			if (links->links[start + i] == dropped && at < 0)
				at = start + i;
		}
		*changed = at >= 0 || dropped == added;
	}
	if (at >= 0)
	{
		HnswChange	change;

		HnswBeginChange(&change, access);
		ChangeLinks(&change, buffer, &place)->links[at] = added;
		HnswFinishChange(&change);
	}
	UnlockReleaseBuffer(buffer);
}

bool
hnsw_replace_link(HnswAccess *access, uint64 id, uint32 layer, uint64 dropped, uint64 added, uint32 *changed)
{
	HNSW_CATCH(ReplaceLink(access, id, layer, dropped, added, changed));
}
