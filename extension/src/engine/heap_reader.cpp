#include "engine/heap_reader.hpp"

namespace tenantmig {

namespace {
// In the order of an Append: a partitioned table's partitions by their bounds, each with all that is below it.
void collect_leaves(Oid oid, List **leaves) {
    Relation rel = relation_open(oid, AccessShareLock);
    if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) {
        PartitionDesc partitions = RelationGetPartitionDesc(rel, true);
        for (int i = 0; i < partitions->nparts; i++)
            collect_leaves(partitions->oids[i], leaves);
    } else {
        *leaves = lappend_oid(*leaves, oid);
    }
    relation_close(rel, NoLock);
}
} // namespace

bool may_read(Oid table, Oid schema, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK &&
#else
    return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK &&
#endif
           pg_class_aclcheck(table, role, ACL_SELECT) == ACLCHECK_OK;
}

std::vector<Oid> leaves_in_order(const Table &table) {
    struct Leaves {
        const Oid *oids;
        int count;
    };
    Leaves leaves = pg_call([oid = table.oid] {
        List *list = NIL;
        collect_leaves(oid, &list);
        Oid *oids = static_cast<Oid *>(palloc(sizeof(Oid) * static_cast<std::size_t>(list_length(list) + 1)));
        for (int i = 0; i < list_length(list); i++)
            oids[i] = list_nth_oid(list, i);
        return Leaves{oids, list_length(list)};
    });
    return {leaves.oids, leaves.oids + leaves.count};
}

std::optional<std::string> why_not_plain_heap(const Table &table) {
    const char *why = pg_call([oid = table.oid]() -> const char * {
        Relation rel = relation_open(oid, AccessShareLock);
        const bool readable = may_read(oid, rel->rd_rel->relnamespace, rel->rd_rel->relowner);
        const char kind = rel->rd_rel->relkind;
        relation_close(rel, NoLock);
        if (!readable) return "its owner has no right to read it";
        if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) return "not a plain table";
        List *leaves = NIL;
        collect_leaves(oid, &leaves);
        for (int i = 0; i < list_length(leaves); i++) {
            Relation leaf = relation_open(list_nth_oid(leaves, i), NoLock);
            const bool plain = leaf->rd_rel->relkind == RELKIND_RELATION && leaf->rd_rel->relam == HEAP_TABLE_AM_OID &&
                               !RELATION_IS_OTHER_TEMP(leaf);
            relation_close(leaf, NoLock);
            if (!plain) return "not a heap table";
        }
        return nullptr;
    });
    return why ? std::optional<std::string>(why) : std::nullopt;
}

AttrNumber number_in(TupleDesc descriptor, Oid relation, const Table &table, AttrNumber number) {
    const Column &column = table.at(number);
    if (relation == table.oid) return number;
    for (int i = 0; i < descriptor->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
        if (!attribute->attisdropped && column.name == NameStr(attribute->attname)) return attribute->attnum;
    }
    throw Error(sqlstate::undefined_column,
                fmt::format("column \"{}\" does not exist in a partition of {}", column.name, table.label()), {},
                "Try again: the table is being changed.");
}

// ---- pages

HeapPages::HeapPages(Oid relation) {
    pg_call([this, relation] {
        relation_ = table_open(relation, AccessShareLock);
        snapshot_ = RegisterSnapshot(GetActiveSnapshot());
        scan_ = table_beginscan_strat(relation_, snapshot_, 0, nullptr, true, false);
    });
}

HeapPages::~HeapPages() {
    if (std::uncaught_exceptions() > 0) return;
    try {
        pg_call([this] {
            table_endscan(scan_);
            UnregisterSnapshot(snapshot_);
            table_close(relation_, NoLock);
        });
    } catch (...) { // likewise
    }
}

bool HeapPages::next() {
    return pg_call([this] {
        CHECK_FOR_INTERRUPTS();
        // the first row of the next page; its visible rows are then known, and the page is pinned
        if (!heap_getnext(scan_, ForwardScanDirection)) return false;
        auto *heap = reinterpret_cast<HeapScanDesc>(scan_);
        page_ = BufferGetPage(heap->rs_cbuf);
        offsets_ = heap->rs_vistuples;
        block_ = heap->rs_cblock;
        count_ = static_cast<int>(heap->rs_ntuples);
        heap->rs_cindex = heap->rs_ntuples - 1; // the scan goes on with the page that follows
        return true;
    });
}

// ---- tuples

TupleLayout::TupleLayout(TupleDesc descriptor, const std::vector<AttrNumber> &wanted) : descriptor_(descriptor) {
    const AttrNumber last = wanted.empty() ? 0 : *std::max_element(wanted.begin(), wanted.end());
    bool fixed = true;
    for (int i = 0; i < last; i++) {
        Form_pg_attribute form = TupleDescAttr(descriptor, i);
        Attribute attribute{form->attlen, form->attbyval, false, form->attalign, 0};
        attribute.wanted = std::find(wanted.begin(), wanted.end(), i + 1) != wanted.end();
        fixed = fixed && attribute.length > 0;
        if (fixed) {
            attribute.offset = static_cast<std::uint32_t>(att_align_nominal(fixed_end_, attribute.align));
            fixed_end_ = attribute.offset + static_cast<std::uint32_t>(attribute.length);
            fixed_++;
            if (attribute.wanted) fixed_wanted_.push_back(static_cast<std::size_t>(i));
        }
        attributes_.push_back(attribute);
    }
}

// As slot_deform_heap_tuple() does, for the wanted columns only.
void TupleLayout::deform(HeapTupleHeader tuple, Datum *values, bool *isnull) const {
    const char *data = reinterpret_cast<const char *>(tuple) + tuple->t_hoff;
    const std::size_t stored = std::min<std::size_t>(HeapTupleHeaderGetNatts(tuple), attributes_.size());
    const bool nulls = (tuple->t_infomask & HEAP_HASNULL) != 0;
    std::size_t at = 0;
    std::uint32_t offset = 0;
    if (!nulls && stored >= fixed_) {
        for (std::size_t i : fixed_wanted_) {
            values[i] = fetch_att(data + attributes_[i].offset, attributes_[i].by_value, attributes_[i].length);
            isnull[i] = false;
        }
        at = fixed_;
        offset = fixed_end_;
    }
    for (; at < stored; at++) {
        const Attribute &attribute = attributes_[at];
        if (nulls && att_isnull(static_cast<int>(at), tuple->t_bits)) {
            values[at] = 0;
            isnull[at] = true;
            continue;
        }
        offset =
            static_cast<std::uint32_t>(att_align_pointer(offset, attribute.align, attribute.length, data + offset));
        if (attribute.wanted) {
            values[at] = fetch_att(data + offset, attribute.by_value, attribute.length);
            isnull[at] = false;
        }
        offset = static_cast<std::uint32_t>(att_addlength_pointer(offset, attribute.length, data + offset));
    }
    for (; at < attributes_.size(); at++) // added since, with a default perhaps
        if (attributes_[at].wanted) values[at] = getmissingattr(descriptor_, static_cast<int>(at) + 1, &isnull[at]);
}

} // namespace tenantmig
