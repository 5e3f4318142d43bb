// Makes the list of actions of a rekey step. For rekey_list*.cpp.
//
// Keys that are referred to move in this order, so that at any instant one validated foreign key holds, and so that the
// way back is the same backwards:
//
//   index over the new columns · foreign keys to it, validated · [index that keeps the old key unique] · old foreign
//   keys dropped · the primary key moves (embedded ids: columns change their names) · (on the way back: the new foreign
//   keys go; the old ones come back and are validated; the old index is built)
//
// An index that has become a primary key goes when the primary key moves back, and old foreign keys have come back by
// then. Who goes forward again from there begins with the index (RekeyAction::group).
#pragma once
#include "steps/rekey_catalogue.hpp"

namespace tenantmig {

class RekeyBuilder {
public:
    RekeyBuilder(const RekeyTarget &target, std::int64_t migration);
    RekeyList build();

private:
    struct Tmp { // of an index that is to take the place of another on renamed columns
        Table table;
        RekeyIndex old;
        std::string name;
    };

    const RekeyTarget &target_;
    std::int64_t migration_;
    RekeyList list_;
    std::string stage_;
    std::set<std::string> taken_;
    std::map<Oid, Table> tables_;
    std::map<Oid, RekeyNames> keys_;    // columns with the surrogate key -> the new one
    std::map<Oid, RekeyNames> renamed_; // embedded ids and references to them -> their new column
    std::map<Oid, int> triggers_;       // numbers given
    std::vector<Tmp> replaced_;

    // rekey_list.cpp
    RekeyAction &add(RekeyKind kind, const Table &table);
    RekeyAction &ddl(const Table &table);
    void forward(RekeyAction &action, const Table &table, std::string sql, std::string missing = {},
                 std::string present = {});
    void backward(RekeyAction &action, const Table &table, std::string sql, std::string missing = {},
                  std::string present = {});
    std::string free_name(const Table &table, const std::string &columns, const std::string &label);
    bool is_free(const Table &table, const std::string &name) const;
    std::string trigger_name(const Table &table);
    std::string create_trigger(const Table &table, const std::string &name, const std::vector<std::string> &arguments);
    void add_trigger(RekeyAction &action, const Table &table, const std::string &name,
                     const std::vector<std::string> &arguments);
    void add_column(RekeyAction &action, const Table &table, const std::string &column, const std::string &type);
    void new_columns();
    void fill();
    void not_null(const Table &table, const std::string &column);
    void index(const Table &table, const std::string &name, std::string statement, bool back);
    void twins();
    void twins_of(const Table &table);
    RekeyNames all_names(const Table &table) const;
    std::string root_list() const; // within and new key, quoted
    std::vector<std::string> root_columns() const;
    void mapping(const RekeyEmbedded &embed);
    void checks();

    // rekey_list_switch.cpp
    struct Moved { // a foreign key that follows
        RekeyForeignKey old;
        bool exists = true;          // an old one is there
        std::string name, temporary; // of the old one; of the new one
        // columns as lists of quoted names: the new ones, what they are called after the switch; the old ones then, and
        // before it
        std::string from_new, to_new, from_after, to_after, from_old, to_old, from_first, to_first;
    };
    Moved moved_key(const RekeyForeignKey &key, const std::string &temporary);
    void add_key(const Moved &moved, bool again);
    void drop_key(const Moved &moved, bool after);
    void comment_key(RekeyAction &action, const Table &table, const RekeyIndex &key, bool back);
    void swap_primary(const Table &table, const RekeyIndex &old, const std::string &made, const std::string &kept,
                      std::size_t start);
    std::string column_list_name(const RekeyForeignKey &key);
    [[noreturn]] int refuse_chain(const RekeyForeignKey &key);
    void validate(const Table &table, const std::string &name, bool back);
    void move_root();
    bool has_key() const;
    void end_tail(std::size_t at);
    void move_key(const Table &table, const RekeyIndex &primary);
    void move_embedded(const RekeyEmbedded &embed);
    void replace_indexes();
    std::map<std::pair<Oid, std::string>, std::string> embed_triggers_; // old column -> trigger
};

std::string column_list(const Table &table, const std::vector<AttrNumber> &columns, const RekeyNames &names);

} // namespace tenantmig
