/*
 * What PostgreSQL has to know about the access method `ivfflat`: its functions, options, settings and costs.
 */
#include "ivfflat.h"

#include "access/amapi.h"
#include "access/reloptions.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "nodes/pathnodes.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

int			ivfflat_probes;
int			ivfflat_iterative_scan;
int			ivfflat_max_probes;

static relopt_kind options_kind;

static const struct config_enum_entry iterative_scan_modes[] = {
	{"off", 0, false},
	{"relaxed_order", 1, false},
	{NULL, 0, false}
};

/*
 * Once, when the library is loaded.
 */
void
ivfflat_init(void)
{
	options_kind = add_reloption_kind();
	add_int_reloption(options_kind, "lists", "Lists that the vectors are divided into.",
					  IVFFLAT_DEFAULT_LISTS, 1, IVFFLAT_MAX_LISTS, AccessExclusiveLock);

	/* Descriptions are those of pgvector, which tools show. At least as many lists as probes are looked into. */
	DefineCustomIntVariable("ivfflat.probes", "Sets the number of probes", "Valid range is 1..lists.",
							&ivfflat_probes, 1, 1, IVFFLAT_MAX_LISTS, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("ivfflat.iterative_scan",
							 "Sets the mode for iterative scans", NULL,
							 &ivfflat_iterative_scan, 0, iterative_scan_modes, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ivfflat.max_probes", "Sets the max number of probes for iterative scans", NULL,
							&ivfflat_max_probes, IVFFLAT_MAX_LISTS, 1, IVFFLAT_MAX_LISTS, PGC_USERSET, 0,
							NULL, NULL, NULL);
	MarkGUCPrefixReserved("ivfflat");
}

static bytea *
parse_options(Datum options, bool validate)
{
	static const relopt_parse_elt elements[] = {
		{"lists", RELOPT_TYPE_INT, offsetof(IvfflatOptions, lists)},
	};

	return (bytea *) build_reloptions(options, validate, options_kind, sizeof(IvfflatOptions), elements,
									  lengthof(elements));
}

static char *
phase_name(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case IVFFLAT_PHASE_CLUSTER:
			return "performing k-means";
		case IVFFLAT_PHASE_ASSIGN:
			return "assigning tuples";
		case IVFFLAT_PHASE_LOAD:
			return "loading tuples";
		default:
			return NULL;
	}
}

/*
 * The costs, by the rules of pgvector 0.8, so that the same plans are chosen. The lists of the first probes are read
 * before the first row is known; half of the pages are taken to be read in sequence.
 */
static void
cost_estimate(PlannerInfo *root, IndexPath *path, double loop_count, Cost *startup_cost, Cost *total_cost,
			  Selectivity *selectivity, double *correlation, double *pages)
{
	IndexOptInfo *info = path->indexinfo;
	GenericCosts costs = {0};
	Relation	index;
	int			lists;
	double		probed;			/* share of the lists */
	double		probed_pages;
	double		sequential_cost;
	double		saving;			/* of a page that is read in sequence */

	/* Without an order there is nothing to find. */
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

	index = index_open(info->indexoid, NoLock);
	IvfflatReadMeta(index, &lists, NULL);
	index_close(index, NoLock);
	probed = Min((double) ivfflat_probes / lists, 1.0);

	get_tablespace_page_costs(info->reltablespace, NULL, &sequential_cost);
	saving = costs.spc_random_page_cost - sequential_cost;
	costs.indexTotalCost -= costs.numIndexPages * saving / 2;
	costs.indexStartupCost = costs.indexTotalCost * probed;

	/* The index has the vectors, which a sequential scan has in TOAST tables that its costs leave out. */
	probed_pages = costs.numIndexPages * probed;
	if (probed < 0.5 && probed_pages > info->rel->pages)
	{
		costs.indexStartupCost -= probed_pages * saving / 2;
		costs.indexStartupCost -= (probed_pages - info->rel->pages) * sequential_cost;
	}

	*startup_cost = costs.indexStartupCost;
	*total_cost = costs.indexTotalCost;
	*selectivity = costs.indexSelectivity;
	*correlation = costs.indexCorrelation;
	*pages = costs.numIndexPages;
}

/* Columns can be ordered by distance, which PostgreSQL does not assume. */
static bool
property(Oid index, int column, IndexAMProperty property, const char *name, bool *result, bool *isnull)
{
	if (property != AMPROP_DISTANCE_ORDERABLE || column == 0)
		return false;
	*result = true;
	*isnull = false;
	return true;
}

static Datum
Handler(void)
{
	IndexAmRoutine *routine = makeNode(IndexAmRoutine);

	routine->amstrategies = 0;
	routine->amsupport = IVFFLAT_PROCS;
	routine->amcanorderbyop = true;
	routine->amoptionalkey = true;
	routine->amcanbuildparallel = true;
	routine->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	routine->amkeytype = InvalidOid;

	routine->ambuild = ivfflat_build;
	routine->ambuildempty = ivfflat_build_empty;
	routine->aminsert = ivfflat_insert;
	routine->ambulkdelete = ivfflat_bulk_delete;
	routine->amvacuumcleanup = ivfflat_vacuum_cleanup;
	routine->amcostestimate = cost_estimate;
	routine->amoptions = parse_options;
	routine->amproperty = property;
	routine->ambuildphasename = phase_name;
	routine->amvalidate = ivfflat_validate;
	routine->ambeginscan = ivfflat_begin_scan;
	routine->amrescan = ivfflat_rescan;
	routine->amgettuple = ivfflat_get_tuple;
	routine->amendscan = ivfflat_end_scan;
	PG_RETURN_POINTER(routine);
}

SQL(ivfflathandler, Handler())
