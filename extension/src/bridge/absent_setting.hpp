// What a session of the application sees before it has set the tenant for the first time.
#pragma once
#include "bridge/boundary.hpp"

struct config_generic; // of PostgreSQL

namespace tenantmig {

// While it lives, a setting of one's own ("app.tenant") does not exist: current_setting(name, true) is NULL. PostgreSQL
// never forgets such a setting once a session has used it; from then on it reads '', so that NULL could not be tried
// any more. No query may run in parallel workers meanwhile.
class AbsentSetting {
public:
    explicit AbsentSetting(const std::string &name);
    ~AbsentSetting();
    AbsentSetting(const AbsentSetting &) = delete;
    AbsentSetting &operator=(const AbsentSetting &) = delete;

private:
    ::config_generic *record_ = nullptr;
    const char *name_ = nullptr;
    std::string hidden_;
};

} // namespace tenantmig
