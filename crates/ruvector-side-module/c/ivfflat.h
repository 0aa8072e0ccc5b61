/*
 * The index access method `ivfflat`. Vectors are divided into lists, each with a centre; a vector is in the list whose
 * centre is nearest to it, and a scan looks only into the lists whose centres are nearest to the query.
 *
 * Page 0 says what the index is. Pages with the lists form a chain that starts at page 1. Each list has a chain of pages
 * with the tuples. Pages are as pgvector 0.8 writes them, so that either can use what the other has built.
 */
#ifndef RUVECTOR_IVFFLAT_H
#define RUVECTOR_IVFFLAT_H

#include "ruvector.h"

#include "access/genam.h"
#include "access/itup.h"
#include "access/relscan.h"
#include "nodes/execnodes.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

/* Support functions of an operator class. */
#define IVFFLAT_DISTANCE_PROC 1
#define IVFFLAT_NORM_PROC 2		/* optional: stored values are of length one */
#define IVFFLAT_CLUSTER_DISTANCE_PROC 3
#define IVFFLAT_CLUSTER_NORM_PROC 4 /* optional: values are clustered by their direction */
#define IVFFLAT_TYPE_PROC 5		/* optional: the type is not `vector` */
#define IVFFLAT_PROCS 5

#define IVFFLAT_DEFAULT_LISTS 100
#define IVFFLAT_MAX_LISTS 32768

/* Phases of a build; the first is PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE. */
#define IVFFLAT_PHASE_CLUSTER 2
#define IVFFLAT_PHASE_ASSIGN 3
#define IVFFLAT_PHASE_LOAD 4

#define IVFFLAT_META_BLOCK 0
#define IVFFLAT_FIRST_LIST_BLOCK 1
#define IVFFLAT_MAGIC 0x014FF1A7
#define IVFFLAT_VERSION 1
#define IVFFLAT_PAGE_ID 0xFF84

typedef struct IvfflatMeta
{
	uint32		magic;
	uint32		version;
	uint16		dimensions;
	uint16		lists;
} IvfflatMeta;

/* The end of every page. */
typedef struct IvfflatTail
{
	BlockNumber next;			/* of the chain */
	uint16		unused;
	uint16		page_id;
} IvfflatTail;

/* An item of a page of lists. */
typedef struct IvfflatList
{
	BlockNumber start;			/* first page of tuples */
	BlockNumber insert;			/* where to begin to look for room */
	char		center[FLEXIBLE_ARRAY_MEMBER];	/* a datum with a header of four bytes */
} IvfflatList;

typedef struct IvfflatOptions
{
	int32		vl_len_;
	int			lists;
} IvfflatOptions;

/* How the numbers of a value are stored, as Rust numbers it. */
typedef enum IvfflatElements
{
	IVFFLAT_SINGLE = 0,
	IVFFLAT_HALF = 1,
	IVFFLAT_BITS = 2
} IvfflatElements;

/* A type that can be indexed. */
typedef struct IvfflatType
{
	IvfflatElements elements;
	int			max_dimensions;
	PGFunction	normalize;
} IvfflatType;

/* Distances that Rust computes for many values at once. */
typedef enum IvfflatMeasure
{
	IVFFLAT_L2_SQUARED = 0,
	IVFFLAT_NEGATIVE_INNER_PRODUCT = 1,
	IVFFLAT_HAMMING = 2,
	IVFFLAT_OTHER = 3			/* of an operator class of a user: its function is called */
} IvfflatMeasure;

/* What the operator class and the column say. */
typedef struct IvfflatSupport
{
	const IvfflatType *type;
	int			dimensions;
	IvfflatMeasure measure;
	FmgrInfo   *distance;
	FmgrInfo   *norm;			/* or null */
	FmgrInfo   *cluster_norm;	/* or null */
	Oid			collation;
} IvfflatSupport;

/* A value that others are compared with. */
typedef struct IvfflatQuery
{
	Datum		datum;
	const char *numbers;		/* those of the datum; null for SQL's null, from which everything is at distance 0 */
} IvfflatQuery;

/* A chain of pages, which must not be a circle. */
typedef struct IvfflatChain
{
	Relation	index;
	BlockNumber visited;
	BlockNumber limit;
} IvfflatChain;

/* Something at a distance. */
typedef struct IvfflatCandidate
{
	double		distance;
	ItemPointerData tid;
} IvfflatCandidate;

/* Candidates, the nearest first, in memory as far as work_mem allows. */
typedef struct IvfflatQueue
{
	MemoryContext context;
	IvfflatCandidate *heap;
	Size		count;
	Size		capacity;
	Tuplesortstate *sort;		/* null as long as memory is enough */
	TupleDesc	descriptor;
	TupleTableSlot *put_slot;
	TupleTableSlot *get_slot;
} IvfflatQueue;

typedef struct IvfflatListPlace
{
	BlockNumber block;
	OffsetNumber offset;
} IvfflatListPlace;

typedef void (*IvfflatVisitor) (void *state, IvfflatListPlace place, const IvfflatList *list, double distance);

extern int	ivfflat_probes;
extern int	ivfflat_iterative_scan;
extern int	ivfflat_max_probes;

/* In Rust. */
extern void ruvector_ivfflat_distances(uint32 measure, uint32 elements, uint32 dimensions, const char *query,
									   const char *const *others, size_t count, double *out);
extern uint64 ruvector_ivfflat_memory(uint32 elements, uint32 dimensions, uint32 clusters, uint64 samples);
extern bool ruvector_ivfflat_cluster(uint32 elements, uint32 dimensions, const void *samples, size_t count,
									 uint32 clusters, bool spherical, uint64 seed, bool (*interrupted) (void *),
									 void *state, void *out, Failure *failure);
extern void ruvector_ivfflat_widen(uint32 dimensions, const char *halves, float *out);

/* ivfflat_support.c */
extern void IvfflatLoadSupport(Relation index, IvfflatSupport *support);
extern Size IvfflatNumbersSize(const IvfflatSupport *support);
extern Size IvfflatDatumSize(const IvfflatSupport *support);
extern void IvfflatMakeDatum(const IvfflatSupport *support, const char *numbers, struct varlena *datum);
extern const char *IvfflatDatumNumbers(const IvfflatSupport *support, const struct varlena *datum, Size room);
extern bool IvfflatStoredValue(const IvfflatSupport *support, Datum *value);
extern IvfflatQuery IvfflatMakeQuery(const IvfflatSupport *support, Datum value);
extern void IvfflatDistances(const IvfflatSupport *support, const IvfflatQuery *query, const Datum *data,
							 const char *const *numbers, int count, double *out);

/* ivfflat_page.c */
extern void IvfflatCorrupt(Relation index, BlockNumber block, const char *what) pg_attribute_noreturn();
extern void IvfflatInitPage(Page page);
extern IvfflatTail *IvfflatPageTail(Page page);
extern Page IvfflatCheckPage(Relation index, Buffer buffer);
extern void *IvfflatItem(Relation index, BlockNumber block, Page page, OffsetNumber offset, Size least, Size *size);
extern void IvfflatReadMeta(Relation index, int *lists, int *dimensions);
extern IvfflatChain IvfflatStartChain(Relation index);
extern void IvfflatNextInChain(IvfflatChain *chain, BlockNumber block);
extern void IvfflatVisitLists(Relation index, const IvfflatSupport *support, const IvfflatQuery *query,
							  IvfflatVisitor visit, void *state);
extern void IvfflatMoveInsertPage(Relation index, IvfflatListPlace place, BlockNumber from, BlockNumber to);

/* ivfflat_queue.c */
extern void IvfflatQueueInit(IvfflatQueue *queue, MemoryContext context);
extern void IvfflatQueueReset(IvfflatQueue *queue);
extern void IvfflatQueueAdd(IvfflatQueue *queue, double distance, const ItemPointerData *tid);
extern void IvfflatQueueReady(IvfflatQueue *queue);
extern bool IvfflatQueueNext(IvfflatQueue *queue, IvfflatCandidate *next);

/* The functions of the access method, each in a file of its own. */
extern IndexBuildResult *ivfflat_build(Relation heap, Relation index, IndexInfo *info);
extern void ivfflat_build_empty(Relation index);
extern bool ivfflat_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
						   IndexUniqueCheck check_unique, bool unchanged, IndexInfo *info);
extern IndexBulkDeleteResult *ivfflat_bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
												  IndexBulkDeleteCallback callback, void *state);
extern IndexBulkDeleteResult *ivfflat_vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);
extern IndexScanDesc ivfflat_begin_scan(Relation index, int nkeys, int norderbys);
extern void ivfflat_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool ivfflat_get_tuple(IndexScanDesc scan, ScanDirection direction);
extern void ivfflat_end_scan(IndexScanDesc scan);
extern bool ivfflat_validate(Oid opclass);

extern void ivfflat_init(void);

#endif
