// The background workers of a run, as its leader sees them.
#pragma once
#include "steps/online.hpp"

namespace tenantmig {

struct CrewState {
    bool ranges_came_back = false; // a worker went away, and what it had taken is on the list again
};

class Crew {
public:
    // Registers workers 2 to `limit`; with fewer free slots it does with those, and says so in stat_workers.
    Crew(OnlineWorker &leader, dsm_handle segment, int limit);
    ~Crew();
    Crew(const Crew &) = delete;
    Crew &operator=(const Crew &) = delete;
    // Notices who has gone, takes their ranges back, replaces them.
    CrewState look(WalkShared *walk);
    // The same while the leader walks itself, from time to time: others must not wait for its end to be replaced.
    void look_while_walking();
    void wait_until_idle(); // nobody walks any more
    void dismiss();         // all have ended

private:
    struct Member {
        std::int32_t number;
        BackgroundWorkerHandle *handle = nullptr;
        int replaced = 0;
        bool gone = false;
    };
    bool hire(Member &member);
    void note_end(std::int32_t number);
    bool ended(const Member &member) const;
    OnlineWorker &leader_;
    dsm_handle segment_;
    std::vector<Member> members_;
};

// Registers a background worker; nullptr: no slot is free. The handle lives in the current memory context.
BackgroundWorkerHandle *register_worker(dsm_handle segment, std::int32_t number, std::int64_t run);

} // namespace tenantmig
