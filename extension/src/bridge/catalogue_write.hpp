// Whether the catalogue is being changed by tenantmig itself: known inside the backend only, so that no setting can
// pretend it. The watch on ALTER TABLE lets such changes pass.
#pragma once

namespace tenantmig {

class CatalogueWriteScope {
public:
    CatalogueWriteScope() { depth_++; }
    ~CatalogueWriteScope() { depth_--; }
    CatalogueWriteScope(const CatalogueWriteScope &) = delete;
    CatalogueWriteScope &operator=(const CatalogueWriteScope &) = delete;
    static bool active() { return depth_ > 0; }

private:
    inline static int depth_ = 0;
};

} // namespace tenantmig
