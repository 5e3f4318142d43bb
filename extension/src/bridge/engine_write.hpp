// Whether the rows that are being written are written by the engine itself: known inside the backend only, so that no
// setting can pretend it. Guards let such writes pass.
#pragma once

namespace tenantmig {

class EngineWriteScope {
public:
    EngineWriteScope() { depth_++; }
    ~EngineWriteScope() { depth_--; }
    EngineWriteScope(const EngineWriteScope &) = delete;
    EngineWriteScope &operator=(const EngineWriteScope &) = delete;
    static bool active() { return depth_ > 0; }

private:
    inline static int depth_ = 0;
};

} // namespace tenantmig
