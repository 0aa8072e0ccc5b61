/*
 * The access methods hnsw and ruhnsw: their descriptions, settings and costs.
 */
#include "hnsw.h"

#include <math.h>

#include "access/amapi.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "nodes/pathnodes.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"
#include "utils/syscache.h"

int			hnsw_ef_search = 40;
int			hnsw_iterative_scan = HNSW_ITERATIVE_OFF;
int			hnsw_max_scan_tuples = 20000;
double		hnsw_scan_mem_multiplier = 1;

int			ruvector_ef_search = 0;
double		ruvector_oversample = 0;

static relopt_kind options_kind;
static relopt_kind ruhnsw_options_kind;

static relopt_enum_elt_def quantizer_options[] = {
	{"none", HNSW_EXACT},
	{"f16", HNSW_F16},
	{"sq8", HNSW_SQ8},
	{"rabitq", HNSW_RABITQ},
	{NULL}
};

static const struct config_enum_entry iterative_scan_options[] = {
	{"off", HNSW_ITERATIVE_OFF, false},
	{"relaxed_order", HNSW_ITERATIVE_RELAXED, false},
	{"strict_order", HNSW_ITERATIVE_STRICT, false},
	{NULL, 0, false}
};

/* The options that both access methods have. */
static relopt_kind
AddOptions(void)
{
	relopt_kind kind = add_reloption_kind();

	add_int_reloption(kind, "m", "Links of an element on each layer",
					  HNSW_DEFAULT_M, 2, HNSW_MAX_M, AccessExclusiveLock);
	add_int_reloption(kind, "ef_construction", "Candidates for the links of a new element",
					  HNSW_DEFAULT_EF_CONSTRUCTION, 4, 1000, AccessExclusiveLock);
	return kind;
}

void
hnsw_init(void)
{
	options_kind = AddOptions();
	ruhnsw_options_kind = AddOptions();
	add_enum_reloption(ruhnsw_options_kind, "quantizer", "What is kept of a vector", quantizer_options, HNSW_SQ8,
					   "Valid values are \"none\", \"f16\", \"sq8\" and \"rabitq\".", AccessExclusiveLock);

	/* Descriptions are those of pgvector, which tools show. */
	DefineCustomIntVariable("hnsw.ef_search", "Sets the size of the dynamic candidate list for search",
							"Valid range is 1..1000.", &hnsw_ef_search, 40, 1, 1000, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("hnsw.iterative_scan", "Sets the mode for iterative scans", NULL,
							 &hnsw_iterative_scan, HNSW_ITERATIVE_OFF, iterative_scan_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("hnsw.max_scan_tuples",
							"Sets the max number of tuples to visit for iterative scans", NULL,
							&hnsw_max_scan_tuples, 20000, 1, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("hnsw.scan_mem_multiplier",
							 "Sets the multiple of work_mem to use for iterative scans", NULL,
							 &hnsw_scan_mem_multiplier, 1, 1, 1000, PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("hnsw");

	DefineCustomIntVariable("ruvector.ef_search", "Elements that a search of ruhnsw keeps in view; 0: as of hnsw.", NULL,
							&ruvector_ef_search, 0, 0, 10000, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("ruvector.oversample",
							 "How many times as many rows a search of quantised vectors compares; 0: by the quantiser.",
							 NULL, &ruvector_oversample, 0, 0, 100, PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("ruvector");
}

static char *
PhaseName(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case HNSW_PHASE_LOAD:
			return "loading tuples";
		default:
			return NULL;
	}
}

/*
 * The part of an index that a search visits: the links of one element on each upper layer, and on the lowest those of as
 * many as are kept in view, less what was visited before. How much less grows with the index; the formula, which
 * pgvector 0.8 has too so that plans are the same, was fitted to measurements.
 */
static double
VisitedPart(double tuples, int m, int ef_search)
{
	double		levels;
	double		lowest;
	double		unvisited;

	if (tuples <= 0)
		return 1;
	levels = floor(log(tuples) / log(m));
	lowest = 2.0 * m * ef_search;
	unvisited = 0.55 * log(tuples) / (log(m) * (1 + log(ef_search)));
	return Min((levels * m + lowest * unvisited) / tuples, 1);
}

static void
EstimateCost(PlannerInfo *root, IndexPath *path, double loop_count, Cost *startup_cost, Cost *total_cost,
			 Selectivity *selectivity, double *correlation, double *pages)
{
	GenericCosts costs = {0};
	double		part;
	double		startup_pages;
	double		seq_page_cost;
	Relation	index;
	const HnswInfo *info;
	int			m;
	int			ef_search;

	/* It gives rows in order of distance, and not all of them: without an order it must not be used. */
	if (path->indexorderbys == NIL)
	{
		*startup_cost = get_float8_infinity();
		*total_cost = get_float8_infinity();
		*selectivity = 0;
		*correlation = 0;
		*pages = 0;
		return;
	}

	genericcostestimate(root, path, loop_count, &costs);

	index = index_open(path->indexinfo->indexoid, NoLock);
	info = HnswGetInfo(index);
	m = info->settings.m;
	ef_search = HnswSearchWidth(index, info);
	index_close(index, NoLock);

	part = VisitedPart(path->indexinfo->tuples, m, ef_search);
	get_tablespace_page_costs(path->indexinfo->reltablespace, NULL, &seq_page_cost);
	costs.indexStartupCost = costs.indexTotalCost * part;

	/*
	 * Sequential scans are taken for cheaper than they are where vectors are in TOAST tables, whose pages are not
	 * counted. Not to lose against them, pages are then counted as theirs are.
	 */
	startup_pages = costs.numIndexPages * part;
	if (startup_pages > path->indexinfo->rel->pages && part < 0.5)
	{
		costs.indexStartupCost -= startup_pages * (costs.spc_random_page_cost - seq_page_cost);
		costs.indexStartupCost -= (startup_pages - path->indexinfo->rel->pages) * seq_page_cost;
	}

	*startup_cost = costs.indexStartupCost;
	*total_cost = costs.indexTotalCost;
	*selectivity = costs.indexSelectivity;
	*correlation = costs.indexCorrelation;
	*pages = costs.numIndexPages;
}

static bytea *
ParseRuhnswOptions(Datum options, bool validate)
{
	static const relopt_parse_elt elements[] = {
		{"m", RELOPT_TYPE_INT, offsetof(HnswOptions, m)},
		{"ef_construction", RELOPT_TYPE_INT, offsetof(HnswOptions, ef_construction)},
		{"quantizer", RELOPT_TYPE_ENUM, offsetof(HnswOptions, quantizer)},
	};

	return build_reloptions(options, validate, ruhnsw_options_kind, sizeof(HnswOptions), elements, lengthof(elements));
}

static bool
IsRuhnsw(Relation index)
{
	return index->rd_indam->amoptions == ParseRuhnswOptions;
}

bool
HnswIsOurs(Relation index)
{
	return index->rd_indam->ambuild == hnswbuild;
}

const char *
HnswMethodName(Relation index)
{
	return IsRuhnsw(index) ? "ruhnsw" : "hnsw";
}

/*
 * What an index that is to be built is to have of vectors.
 */
HnswQuantizer
HnswGetQuantizer(Relation index)
{
	HnswOptions *options = (HnswOptions *) index->rd_options;

	if (!IsRuhnsw(index))
		return HNSW_EXACT;
	return options != NULL ? options->quantizer : HNSW_SQ8;
}

const char *
HnswQuantizerName(HnswQuantizer quantizer)
{
	for (int i = 0; quantizer_options[i].string_val != NULL; i++)
		if (quantizer_options[i].symbol_val == quantizer)
			return quantizer_options[i].string_val;
	return NULL;
}

/*
 * How many elements a search keeps in view.
 */
int
HnswSearchWidth(Relation index, const HnswInfo *info)
{
	int			width = IsRuhnsw(index) && ruvector_ef_search > 0 ? ruvector_ef_search : hnsw_ef_search;

	double		times = ruvector_oversample;

	if (!HnswIsQuantized(info))
		return width;
	/* By default as many as without a quantiser, where codes are precise enough. */
	if (times == 0)
		times = info->settings.quantizer == HNSW_RABITQ ? HnswRabitqOversample(info->dimensions) : 1;
	return times > 1 ? (int) ceil(width * times) : width;
}

static bytea *
ParseOptions(Datum options, bool validate)
{
	static const relopt_parse_elt elements[] = {
		{"m", RELOPT_TYPE_INT, offsetof(HnswOptions, m)},
		{"ef_construction", RELOPT_TYPE_INT, offsetof(HnswOptions, ef_construction)},
	};

	return build_reloptions(options, validate, options_kind, sizeof(HnswOptions), elements, lengthof(elements));
}

/* An operator class has a distance. */
static bool
Validate(Oid opclass)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass form;
	bool		valid;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(tuple);
	valid = OidIsValid(get_opfamily_proc(form->opcfamily, form->opcintype, form->opcintype, 1));
	if (!valid)
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s is missing support function %d",
						NameStr(form->opcname), get_am_name(form->opcmethod), 1)));
	ReleaseSysCache(tuple);
	return valid;
}

static IndexAmRoutine *
MakeRoutine(amoptions_function parse_options)
{
	IndexAmRoutine *routine = makeNode(IndexAmRoutine);

	routine->amsupport = 3;
	routine->amcanorderbyop = true;
	routine->amoptionalkey = true;
	routine->amcanbuildparallel = true;
	routine->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	routine->amkeytype = InvalidOid;

	routine->ambuild = hnswbuild;
	routine->ambuildempty = hnswbuildempty;
	routine->aminsert = hnswinsert;
	routine->ambulkdelete = hnswbulkdelete;
	routine->amvacuumcleanup = hnswvacuumcleanup;
	routine->amcostestimate = EstimateCost;
	routine->amoptions = parse_options;
	routine->ambuildphasename = PhaseName;
	routine->amvalidate = Validate;
	routine->ambeginscan = hnswbeginscan;
	routine->amrescan = hnswrescan;
	routine->amgettuple = hnswgettuple;
	routine->amendscan = hnswendscan;
	return routine;
}

SQL(hnswhandler, PointerGetDatum(MakeRoutine(ParseOptions)))
SQL(ruhnswhandler, PointerGetDatum(MakeRoutine(ParseRuhnswOptions)))

/*
 * In the catalogue these say which type an operator class is for. We know it of the distance.
 */
SQL(hnsw_halfvec_support, PointerGetDatum(NULL))
SQL(hnsw_bit_support, PointerGetDatum(NULL))
SQL(hnsw_sparsevec_support, PointerGetDatum(NULL))
