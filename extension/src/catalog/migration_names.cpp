#include "core/rekey.hpp"

#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "catalog/migration_names.hpp"

namespace tenantmig {

namespace {
// The schemas of a search_path that are there and that the current user may look into, as PostgreSQL finds them.
std::vector<Oid> schemas_in(std::string search_path, const std::string &owner) {
    constexpr std::string_view user = "\"$user\"";
    if (const std::size_t place = search_path.find(user); place != std::string::npos)
        search_path.replace(place, user.size(), tenantmig::quoted(owner));
    struct Found {
        Oid *oids;
        int count;
    };
    const int level = NewGUCNestLevel();
    Found found = {};
    try {
        found = pg_call([path = search_path.c_str()] {
            (void)set_config_option("search_path", path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
            List *list = fetch_search_path(false);
            Found out = {static_cast<Oid *>(palloc(sizeof(Oid) * static_cast<Size>(list_length(list) + 1))), 0};
            for (int i = 0; i < list_length(list); i++)
                out.oids[out.count++] = list_nth_oid(list, i);
            return out;
        });
    } catch (...) {
        AtEOXact_GUC(false, level);
        throw;
    }
    AtEOXact_GUC(false, level);
    return {found.oids, found.oids + found.count};
}

std::vector<int> structural_steps(const core::Spec &spec) {
    std::vector<int> numbers;
    for (const core::StepRef &step : spec.order)
        if (core::is_structural(step.kind)) numbers.push_back(step.number);
    return numbers;
}
} // namespace

MigrationNames::MigrationNames(const core::Spec &spec) : structural_(structural_steps(spec)) {
    books_.emplace(0, NameBook());
}

MigrationNames::MigrationNames(const MigrationRecord &migration) : identity_(migration.identity) {
    MigrationRecord whole = migration;
    whole.scope.clear();
    structural_ = structural_steps(migration_spec(whole));
    if (!structural_.empty()) schemas_ = schemas_in(migration.search_path, migration.owner);
}

int MigrationNames::segment_of(int step) const {
    if (step > core::rekey_numbers) step /= core::rekey_numbers;
    int segment = 0;
    for (int number : structural_)
        if (number < step) segment = number;
    return segment;
}

NameBook &MigrationNames::of(int step) {
    const int segment = segment_of(step);
    auto found = books_.find(segment);
    if (found == books_.end()) {
        const std::string none = identity_of({});
        const std::string &identity = identity_.empty() ? none : identity_;
        found =
            books_.emplace(segment, segment == 0 ? NameBook(identity) : NameBook(identity, segment, schemas_)).first;
    }
    return found->second;
}

bool MigrationNames::by_name() const {
    return forgot_ || std::any_of(books_.begin(), books_.end(), [](const auto &book) { return book.second.by_name(); });
}

bool MigrationNames::replaced() const {
    return std::any_of(books_.begin(), books_.end(),
                       [](const auto &book) { return book.first != 0 || book.second.replaced(); });
}

bool MigrationNames::replaced(int step) const {
    const int segment = segment_of(step);
    const auto book = books_.find(segment);
    return segment != 0 || (book != books_.end() && book->second.replaced());
}

std::string MigrationNames::json() const {
    std::set<int> segments = {0};
    segments.insert(structural_.begin(), structural_.end());
    std::vector<std::string> relations;
    for (int segment : segments) {
        if (auto book = books_.find(segment); book != books_.end())
            relations.push_back(book->second.relations());
        else if (!identity_.empty())
            relations.push_back(NameBook(identity_, segment, {}).relations());
    }
    return identity_of(relations);
}

void MigrationNames::forget_after(int step) {
    nlohmann::json document = nlohmann::json::parse(json());
    nlohmann::json kept = nlohmann::json::array();
    for (const nlohmann::json &relation : document.at("relations"))
        if (relation.value("segment", 0) < step) kept.push_back(relation);
    forgot_ = forgot_ || kept.size() != document.at("relations").size();
    document["relations"] = std::move(kept);
    identity_ = document.dump();
    std::erase_if(books_, [&](const auto &book) { return book.first >= step; });
}

void store_names(MigrationRecord &migration, const MigrationNames &names) {
    if (!names.by_name()) return;
    migration.identity = names.json();
    update_identity(migration.id, migration.identity);
}

void forget_names_after(MigrationRecord &migration, int structural_step) {
    MigrationNames names(migration);
    names.forget_after(structural_step);
    store_names(migration, names);
}

} // namespace tenantmig
