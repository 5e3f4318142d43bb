#include "bridge/absent_setting.hpp"

extern "C" {
#include "utils/guc_tables.h"
}

namespace tenantmig {

namespace {
struct config_generic *placeholder(const char *name) {
#if PG_VERSION_NUM >= 160000
    int count = 0;
    struct config_generic **all = pg_call([&count] { return get_guc_variables(&count); });
#else
    struct config_generic **all = get_guc_variables();
    const int count = GetNumConfigOptions();
#endif
    for (int i = 0; i < count; i++)
        if ((all[i]->flags & GUC_CUSTOM_PLACEHOLDER) && pg_strcasecmp(all[i]->name, name) == 0) return all[i];
    return nullptr;
}
} // namespace

AbsentSetting::AbsentSetting(const std::string &name) {
    record_ = placeholder(name.c_str());
    if (!record_) return;
    name_ = record_->name;
#if PG_VERSION_NUM >= 160000
    // The table of names is hashed; its entry points to these bytes.
    hidden_ = name_;
    const_cast<char *>(name_)[0] = '\x01';
#else
    // The list of names is sorted: the hidden one stays in its place.
    hidden_ = std::string(name_) + '\x01';
    record_->name = hidden_.c_str();
#endif
}

AbsentSetting::~AbsentSetting() {
    if (!record_) return;
#if PG_VERSION_NUM >= 160000
    const_cast<char *>(name_)[0] = hidden_[0];
#else
    record_->name = name_;
#endif
}

} // namespace tenantmig
