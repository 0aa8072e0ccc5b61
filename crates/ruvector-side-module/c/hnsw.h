/*
 * The access methods hnsw and ruhnsw: what their files have in common. The algorithms are in Rust (src/hnsw), pages are
 * here. They differ in what is kept of a vector: hnsw has all of it, ruhnsw a code if it is quantised, and then the rows
 * that are found are put in order by what the table has.
 *
 * Block 0 has what is true of the whole index. If there are codes, the centres of the quantiser follow on pages of their
 * own, which never change. On all others there are, for each element of the graph, an item with its
 * code and the rows it stands for, and one with its links; on the same page if both fit. An element is named by its
 * block, offset and version. A page counts the elements that it has had, so a name is not used for another element:
 * who reads an old link sees that the element is gone.
 *
 * Locks of pages: one page at a time, or that of an element and then that of its links. Beyond that there are two
 * heavyweight locks. Inserts hold HNSW_UPDATE_LOCK, so that vacuum can wait for those that may have chosen links to what
 * it is about to remove; exclusively, if they will change where searches begin. Steps of searches hold HNSW_SCAN_LOCK, so
 * that vacuum removes elements only when no search relies on them. Builds by several processes have a lock of their
 * own (hnsw_parallel.c): heavyweight locks do not keep processes of one parallel operation from each other.
 */
#ifndef HNSW_H
#define HNSW_H

#include "ruvector.h"

#include "access/genam.h"
#include "access/generic_xlog.h"
#include "nodes/execnodes.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#define HNSW_META_BLOCK 0
#define HNSW_FIRST_PARAMETER_BLOCK 1
#define HNSW_MAGIC 0x52754876
#define HNSW_LAYOUT 1
#define HNSW_PAGE_ID 0xFF9A
#define HNSW_PARAMETERS_PAGE_ID 0xFF9B

/* Tags of heavyweight locks. */
#define HNSW_UPDATE_LOCK 0
#define HNSW_SCAN_LOCK 1

#define HNSW_DEFAULT_M 16
#define HNSW_MAX_M 100
#define HNSW_DEFAULT_EF_CONSTRUCTION 64
#define HNSW_MAX_NONZERO 1000

/* Rows that one element can stand for. */
#define HNSW_ROWS 10
/* As in the core. */
#define HNSW_HIGHEST_LEVEL 30

#define HNSW_PHASE_LOAD 2

/* Beyond the kinds that are types of ours. */
#define KIND_BIT 3

typedef enum HnswMetric
{
	HNSW_L2 = 0,
	HNSW_INNER_PRODUCT = 1,
	HNSW_L1 = 2,
	HNSW_HAMMING = 3,
	HNSW_JACCARD = 4
} HnswMetric;

/* What is kept of a vector on pages: all of it, or one or two bytes for each dimension, or a bit. */
typedef enum HnswQuantizer
{
	HNSW_EXACT = 0,
	HNSW_SQ8 = 1,
	HNSW_F16 = 2,
	HNSW_RABITQ = 3
} HnswQuantizer;

/* An element has to fit on a page, which StaticAssert sees to. */
#define HNSW_SQ8_MOST_DIMENSIONS 8000
/* As many as a type may have. */
#define HNSW_RABITQ_MOST_DIMENSIONS 16000
/*
 * How many times as many elements a search keeps in view, by default: estimates put some in a wrong order. Their errors fall
 * with the root of the dimensions.
 */
#define HnswRabitqOversample(dimensions) ((dimensions) < 256 ? 8 : 4)
/* What the rotations of new indexes are drawn with. */
#define HNSW_RABITQ_SEED 0x52614271
/* A quantiser with centres needs to be trained with so many rows. */
#define HNSW_FEW_ROWS 256

typedef enum HnswIterativeScan
{
	HNSW_ITERATIVE_OFF,
	HNSW_ITERATIVE_RELAXED,
	HNSW_ITERATIVE_STRICT
} HnswIterativeScan;

/* What is on block 0. */
typedef struct HnswMeta
{
	uint32		magic;
	uint32		layout;
	uint32		dimensions;
	uint16		m;
	uint16		ef_construction;
	uint8		kind;
	uint8		metric;
	uint8		quantizer;
	uint8		entry_level;
	uint32		parameter_pages;
	uint64		entry;			/* where searches begin, or 0 */
	/* Only if codes have centres, here and behind. 0: not known before the first row. */
	float		step;
	uint32		checksum;		/* of the step and the centres */
	uint32		seed;			/* of the rotation, if codes have bits */
} HnswMeta;

/* At the end of each page. */
typedef struct HnswOpaque
{
	uint16		versions;		/* that of the newest element */
	uint16		unused1;
	uint16		unused2;
	uint16		page_id;
} HnswOpaque;

typedef enum HnswItemType
{
	HNSW_ELEMENT = 1,
	HNSW_LINKS = 2
} HnswItemType;

typedef struct HnswElement
{
	uint8		type;
	uint8		level;
	uint8		row_count;		/* 0: about to be removed */
	uint8		unused1;
	uint16		version;
	uint16		code_length;
	ItemPointerData links;
	ItemPointerData rows[HNSW_ROWS];
	uint16		unused2;
	char		code[FLEXIBLE_ARRAY_MEMBER];
} HnswElement;

/* First the links on layer 0, 2 * m places; then m for each further layer. Places that are 0 are free. */
typedef struct HnswLinks
{
	uint8		type;
	uint8		level;
	uint16		version;		/* the element's */
	uint32		unused;
	uint64		links[FLEXIBLE_ARRAY_MEMBER];
} HnswLinks;

#define HnswLinkCount(level, m) (((Size) (level) + 2) * (m))
#define HnswElementSize(code_length) (offsetof(HnswElement, code) + (Size) (code_length))
#define HnswLinksSize(level, m) (offsetof(HnswLinks, links) + sizeof(uint64) * HnswLinkCount(level, m))

/* Bytes of a page for items, their pointers included. */
#define HNSW_PAGE_ROOM ((Size) (BLCKSZ - SizeOfPageHeaderData - MAXALIGN(sizeof(HnswOpaque))))
#define HnswItemRoom(size) (MAXALIGN(size) + sizeof(ItemIdData))

/* The links of the highest level have to fit on a page. */
#define HnswHighestLevel(m) \
	Min(HNSW_HIGHEST_LEVEL, \
		(int) ((HNSW_PAGE_ROOM - sizeof(ItemIdData) - MAXIMUM_ALIGNOF - offsetof(HnswLinks, links)) / sizeof(uint64) / (m)) - 2)

#define HnswId(block, offset, version) ((uint64) (block) << 32 | (uint64) (offset) << 16 | (version))
#define HnswIdBlock(id) ((BlockNumber) ((id) >> 32))
#define HnswIdOffset(id) ((OffsetNumber) ((id) >> 16))
#define HnswIdVersion(id) ((uint16) (id))

/* A row as Rust has it. */
#define HnswRowName(row) \
	((uint64) ItemPointerGetBlockNumber(row) << 16 | ItemPointerGetOffsetNumber(row))

#define HnswPageOpaque(page) ((HnswOpaque *) PageGetSpecialPointer(page))
#define HnswPageMeta(page) ((HnswMeta *) PageGetContents(page))

/* How Rust is told of an index. */
typedef struct HnswSettings
{
	uint32		kind;
	uint32		metric;
	uint32		m;
	uint32		ef_construction;
	uint32		room;			/* bytes of the longest code */
	uint32		quantizer;
	float		step;
	uint32		seed;
} HnswSettings;

typedef struct HnswInfo
{
	HnswSettings settings;
	uint32		dimensions;
	uint32		code_length;	/* 0 if each has its own */
	uint32		prepared_length;	/* of a quantised code with what is not kept of it */
	bool		normalize;
	int			highest_level;
	uint32		parameter_pages;
	BlockNumber first_block;	/* of elements */
	const float *center;		/* if codes have them */
} HnswInfo;

#define HnswIsQuantized(info) ((info)->settings.quantizer != HNSW_EXACT)
/* Codes of half precision numbers need neither centres nor a step. */
#define HnswHasCenters(info) \
	((info)->settings.quantizer == HNSW_SQ8 || (info)->settings.quantizer == HNSW_RABITQ)
#define HnswIsUntrained(info) ((info)->settings.quantizer == HNSW_SQ8 && (info)->settings.step == 0)

/* An open index, as Rust hands it on. */
typedef struct HnswAccess
{
	Relation	index;
	const HnswInfo *info;
	BufferAccessStrategy strategy;
	/* Nobody else sees the index yet, and all of it is logged at the end. */
	bool		building;
	/* Of a build by several processes, which heavyweight locks do not keep from each other: NULL if it is but one. */
	struct HnswBuildLock *build_lock;
} HnswAccess;

typedef struct HnswVisit
{
	float		distance;
	uint32		state;
} HnswVisit;

#define HNSW_STATE_GONE 0
#define HNSW_STATE_DEAD 1
#define HNSW_STATE_LIVE 2

/* What a function in Rust returns. */
#define HNSW_FAILED 0
#define HNSW_DONE 1
#define HNSW_RETHROW 2
#define HNSW_END 3

/*
 * A code. What is searched for, or about to be added, may have more behind it that makes distances from it more precise;
 * only HnswKeptLength of it are put on pages.
 */
typedef struct HnswCode
{
	const char *data;
	Size		length;
} HnswCode;

#define HnswKeptLength(info, code) ((info)->code_length > 0 ? (info)->code_length : (code).length)

/* A change of up to four pages. */
typedef struct HnswChange
{
	HnswAccess *access;
	GenericXLogState *state;
	Buffer		buffers[MAX_GENERIC_XLOG_PAGES];
	int			count;
} HnswChange;

typedef struct HnswOptions
{
	int32		length;
	int			m;
	int			ef_construction;
	int			quantizer;		/* of ruhnsw */
} HnswOptions;

/*
 * The body of a function that Rust calls: an error is kept pending until Rust has returned, and false is returned.
 * HnswCheckStatus raises it again. Until then nothing is done but giving memory back.
 */
#define HNSW_CATCH(call) \
	MemoryContext context = CurrentMemoryContext; \
	volatile bool done = false; \
	PG_TRY(); \
	{ \
		call; \
		done = true; \
	} \
	PG_CATCH(); \
	{ \
		MemoryContextSwitchTo(context); \
	} \
	PG_END_TRY(); \
	return done

/* hnsw.c */
extern int	hnsw_ef_search;
extern int	hnsw_iterative_scan;
extern int	hnsw_max_scan_tuples;
extern double hnsw_scan_mem_multiplier;
extern int	ruvector_ef_search;
extern double ruvector_oversample;
extern void hnsw_init(void);
extern bool HnswIsOurs(Relation index);
extern const char *HnswMethodName(Relation index);
extern HnswQuantizer HnswGetQuantizer(Relation index);
extern const char *HnswQuantizerName(HnswQuantizer quantizer);
extern int	HnswSearchWidth(Relation index, const HnswInfo *info);

/* hnsw_info.c */
extern int	HnswMostDimensions(uint32 kind, HnswQuantizer quantizer);
extern void HnswDescribe(Relation index, HnswInfo *info, HnswQuantizer quantizer);
extern const HnswInfo *HnswGetInfo(Relation index);
extern const HnswInfo *HnswCopyInfo(const HnswInfo *info, MemoryContext context);
extern bool HnswCheckView(const HnswInfo *info, View *view);
extern bool HnswFormCode(const HnswInfo *info, Datum value, HnswCode *code);
extern void HnswFormQuery(const HnswInfo *info, Datum value, HnswCode *code, uint32 *dimensions);
extern int	HnswCheckStatus(int status, const Failure *failure);

/* hnsw_pages.c */
extern void HnswCorrupted(Relation index, BlockNumber block) pg_attribute_noreturn();
extern Page HnswCheckPageOf(Relation index, Buffer buffer, uint16 page_id);
extern Page HnswCheckPage(Relation index, Buffer buffer);
extern Item HnswGetItem(Relation index, Page page, BlockNumber block, OffsetNumber offset, Size *size);
extern HnswElement *HnswGetElement(HnswAccess *access, Page page, uint64 id);
extern HnswLinks *HnswGetLinks(HnswAccess *access, Page page, BlockNumber block, OffsetNumber offset,
							   uint16 version, uint8 level);
extern Buffer HnswReadBuffer(HnswAccess *access, BlockNumber block, int mode);
extern void HnswGetEntry(HnswAccess *access, uint64 *id, uint32 *level);

/* hnsw_change.c */
extern void HnswInitPage(Page page);
extern void HnswInitMeta(Page page, const HnswInfo *info);
extern void HnswBeginChange(HnswChange *change, HnswAccess *access);
extern Page HnswChangePage(HnswChange *change, Buffer buffer, bool whole);
extern void HnswFinishChange(HnswChange *change);
extern void HnswAbortChange(HnswChange *change);
extern void HnswSetEntry(HnswAccess *access, uint64 id, uint32 level, bool always);
extern uint64 HnswAddElement(HnswAccess *access, HnswElement *element, HnswLinks *links);
extern bool HnswAddRow(HnswAccess *access, uint64 id, HnswCode code, ItemPointer row);
extern void HnswFillLinks(HnswAccess *access, uint64 id, const uint64 *links, bool (*is_dead) (const void *, uint64),
						  const void *state);

/* hnsw_quantize.c */
extern void HnswTrain(Relation heap, Relation index, IndexInfo *index_info, HnswInfo *info);
extern void HnswTrainEmpty(Relation index, HnswInfo *info);
extern float HnswFirstStep(const HnswInfo *info, Datum value);
extern void HnswTrainFirst(Relation index, Datum value);
extern uint32 HnswChecksum(const HnswInfo *info, float step);
extern void HnswInitParameters(Page page, const HnswInfo *info, uint32 number);
extern float *HnswReadParameters(Relation index, const HnswInfo *info);

/* hnsw_rerank.c */
typedef struct HnswRerank HnswRerank;

extern HnswRerank *HnswBeginRerank(IndexScanDesc scan, MemoryContext parent);
extern void HnswRestartRerank(HnswRerank *rerank, Datum query);
extern void HnswAddFound(HnswRerank *rerank, double least, const ItemPointerData *rows, int count);
extern void HnswFinishBatch(HnswRerank *rerank);
extern bool HnswTakeReranked(HnswRerank *rerank, ItemPointer row, double *distance);
extern void HnswEndRerank(HnswRerank *rerank);

/* hnsw_build.c */
extern IndexBuildResult *hnswbuild(Relation heap, Relation index, IndexInfo *index_info);
extern void hnswbuildempty(Relation index);

/* hnsw_insert.c */
extern bool hnswinsert(Relation index, Datum *values, bool *isnull, ItemPointer row, Relation heap,
					   IndexUniqueCheck check_unique, bool unchanged, IndexInfo *index_info);
extern void HnswInsertCode(HnswAccess *access, HnswCode code, ItemPointer row);

/* hnsw_parallel.c */
extern void HnswLockBuild(struct HnswBuildLock *lock, bool alone);
extern void HnswUnlockBuild(struct HnswBuildLock *lock);

/* hnsw_scan.c */
extern IndexScanDesc hnswbeginscan(Relation index, int nkeys, int norderbys);
extern void hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool hnswgettuple(IndexScanDesc scan, ScanDirection direction);
extern void hnswendscan(IndexScanDesc scan);

/* hnsw_check.c */
extern uint64 *HnswFindUnreachable(HnswAccess *access, Size *count, uint8 **levels);

/* hnsw_vacuum.c */
extern IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback, void *callback_state);
extern IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);

/* Functions of Rust. */
typedef struct HnswBuilder HnswBuilder;
typedef struct HnswInsertion HnswInsertion;
typedef struct HnswSearch HnswSearch;

typedef struct HnswPageSizes
{
	uint32		room;
	uint32		pointer;
	uint32		element;
	uint32		links;
	uint32		first;
	uint32		m;
} HnswPageSizes;

typedef struct HnswPlaced
{
	uint64		id;
	uint32		links_block;
	uint16		links_offset;
	uint8		level;
	uint8		row_count;
	const char *code;
	size_t		code_length;
	uint64		rows[HNSW_ROWS];
} HnswPlaced;

typedef struct HnswSearchLimits
{
	uint64		visits;
	size_t		memory;
} HnswSearchLimits;

extern float ruvector_hnsw_order(const void *query, const char *code, size_t length);
extern void ruvector_hnsw_code_lengths(const HnswSettings *settings, uint32 dimensions, uint32 *code,
									   uint32 *prepared);
extern bool ruvector_hnsw_encode(const HnswSettings *settings, const View *view, const float *center,
								 uint32 dimensions, char *code, Failure *failure);
extern void ruvector_hnsw_numbers(const View *view, float *numbers);
extern bool ruvector_hnsw_train(const HnswSettings *settings, const float *sample, size_t count, uint32 dimensions,
								bool few, float *center, float *step, Failure *failure);
extern HnswBuilder *ruvector_hnsw_build_new(const HnswSettings *settings, size_t code_length, uint32 highest_level,
											uint64 seed, size_t limit);
extern void ruvector_hnsw_build_free(HnswBuilder *builder);
extern int32 ruvector_hnsw_build_add(HnswBuilder *builder, const char *code, size_t length, uint64 row,
									 Failure *failure);
extern bool ruvector_hnsw_shared_create(const HnswSettings *settings, size_t code_length, void *memory, size_t size);
extern HnswBuilder *ruvector_hnsw_shared_attach(const HnswSettings *settings, size_t code_length, uint32 highest_level,
												void *memory, size_t size);
extern void ruvector_hnsw_shared_wipe(const HnswBuilder *builder);
extern void ruvector_hnsw_shared_move(const HnswBuilder *builder, void *memory, size_t size);
extern bool ruvector_hnsw_shared_alone(const HnswBuilder *builder, uint64 row);
extern int32 ruvector_hnsw_build_place(HnswBuilder *builder, const HnswPageSizes *sizes, uint32 *blocks,
									   Failure *failure);
extern int32 ruvector_hnsw_build_element(const HnswBuilder *builder, uint32 position, HnswPlaced *placed,
										 uint64 *links);
extern void ruvector_hnsw_build_entry(const HnswBuilder *builder, uint64 *id, uint32 *level);
extern int32 ruvector_hnsw_insert_plan(HnswAccess *access, const HnswSettings *settings, const char *code,
									   size_t length, uint32 level, HnswInsertion **insertion, Failure *failure);
extern int32 ruvector_hnsw_relink_plan(HnswAccess *access, const HnswSettings *settings, uint64 element,
									   uint32 level, HnswInsertion **insertion, Failure *failure);
extern uint64 ruvector_hnsw_insert_twin(const HnswInsertion *insertion, uint32 position);
extern void ruvector_hnsw_insert_links(const HnswInsertion *insertion, uint64 *links);
extern int32 ruvector_hnsw_insert_link(const HnswInsertion *insertion, HnswAccess *access, uint64 element,
									   Failure *failure);
extern void ruvector_hnsw_insert_free(HnswInsertion *insertion);
extern HnswSearch *ruvector_hnsw_search_new(const HnswSettings *settings, const char *code, size_t length,
											uint32 ef, bool iterative);
extern bool ruvector_hnsw_search_take(HnswSearch *search, uint64 *element, float *distance);
extern double ruvector_hnsw_search_least(const HnswSearch *search, float order, const char *code, size_t length);
extern int32 ruvector_hnsw_search_step(HnswSearch *search, HnswAccess *access,
									   const HnswSearchLimits *limits, Failure *failure);

#endif
