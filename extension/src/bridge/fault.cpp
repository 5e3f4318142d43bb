// What fault points do; see fault.hpp. Compiled for tests only.
#include "bridge/fault.hpp"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <sys/stat.h>
#include <unistd.h>

#include "bridge/boundary.hpp"

extern "C" {
#include "common/hashfn.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/pmsignal.h"
}

namespace tenantmig {

namespace {
constexpr char settings_file[] = "tenantmig_faults"; // a server's processes stand in the data directory
constexpr char clock_file[] = "tenantmig_clock";
constexpr char own_state[] = "TM900";
constexpr std::uint32_t lock_class = 7361;

struct Fault {
    std::string action, argument;
    int hit = 0;
    double percent = 100;
};

// The lines of the file that are about this point.
std::vector<Fault> faults_of(const std::string &name) {
    std::vector<Fault> found;
    std::ifstream file(settings_file);
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string point, word;
        Fault fault;
        if (!(words >> point >> fault.action) || point != name) continue;
        while (words >> word) {
            if (word.starts_with("hit="))
                fault.hit = std::atoi(word.c_str() + 4);
            else if (word.starts_with("percent="))
                fault.percent = std::atof(word.c_str() + 8);
            else
                fault.argument = word;
        }
        found.push_back(fault);
    }
    return found;
}

// How often this process came by since the file was written.
int count_hit(const std::string &name) {
    static std::map<std::string, int> hits;
    static struct timespec written;
    struct stat now {};
    if (stat(settings_file, &now) != 0) return 0;
    if (now.st_mtim.tv_sec != written.tv_sec || now.st_mtim.tv_nsec != written.tv_nsec) hits.clear();
    written = now.st_mtim;
    return ++hits[name];
}

class Marker {
public:
    explicit Marker(const char *name) : path_(fmt::format("tenantmig_fault.{}", getpid())) {
        std::ofstream(path_) << name;
    }
    ~Marker() { unlink(path_.c_str()); }
    Marker(const Marker &) = delete;
    Marker &operator=(const Marker &) = delete;

private:
    std::string path_;
};

void sleep_at(const char *name, int milliseconds) {
    Marker marker(name);
    for (int left = milliseconds; left > 0; left -= 10) {
        pg_call([left] {
            CHECK_FOR_INTERRUPTS();
            pg_usleep(1000L * (left < 10 ? left : 10));
            if (!PostmasterIsAlive()) proc_exit(1);
        });
    }
}

// The engine's lock_timeout is about the user's tables, not about this lock.
class NoLockTimeout {
public:
    NoLockTimeout() : before_(LockTimeout) { LockTimeout = 0; }
    ~NoLockTimeout() { LockTimeout = before_; }
    NoLockTimeout(const NoLockTimeout &) = delete;
    NoLockTimeout &operator=(const NoLockTimeout &) = delete;

private:
    int before_;
};

void wait_at(const char *name) {
    Marker marker(name);
    NoLockTimeout patience;
    pg_call([name] {
        LOCKTAG tag;
        auto key =
            DatumGetUInt32(hash_any(reinterpret_cast<const unsigned char *>(name), static_cast<int>(strlen(name))));
        SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, lock_class, key, 2);
        // of the session: a point may lie outside of any transaction
        (void)LockAcquire(&tag, ShareLock, true, false);
        (void)LockRelease(&tag, ShareLock, true);
    });
}

int encoded(const std::string &state) {
    return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}

// 0 up to 100, and another sequence in each process.
double dice(const char *name, int hit) {
    std::uint32_t seed =
        hash_bytes_uint32(static_cast<std::uint32_t>(getpid()) * 1000003U + static_cast<std::uint32_t>(hit));
    return (seed ^ static_cast<std::uint32_t>(strlen(name))) % 10000 / 100.0;
}

void strike(const char *name, const Fault &fault) {
    std::string state = fault.argument.size() == 5 ? fault.argument : own_state;
    if (fault.action == "error") {
        // an Error holds its SQLSTATE by address; those of a test are few
        static std::set<std::string> states;
        throw Error(states.insert(state).first->c_str(), fmt::format("fault at {}", name), "A test asked for it.");
    }
    if (fault.action == "ereport") {
        int code = encoded(state);
        pg_call([name, code] {
            ereport(ERROR, (errcode(code), errmsg("fault at %s", name), errdetail("A test asked for it.")));
        });
    }
    if (fault.action == "exit") {
        pg_call([name] {
            ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("fault at %s: the process ends", name)));
        });
    }
    if (fault.action == "crash") kill(getpid(), SIGKILL);
    if (fault.action == "sleep") sleep_at(name, std::atoi(fault.argument.c_str()));
    if (fault.action == "wait") wait_at(name);
}
} // namespace

void fault_point(const char *name) {
    std::vector<Fault> faults = faults_of(name);
    if (faults.empty()) return;
    int hit = count_hit(name);
    for (const Fault &fault : faults) {
        if (fault.hit != 0 && fault.hit != hit) continue;
        if (fault.percent < 100 && dice(name, hit) >= fault.percent) continue;
        strike(name, fault);
    }
}

std::int64_t fault_clock() {
    std::int64_t seconds = 0;
    std::ifstream(clock_file) >> seconds;
    return seconds * 1000 * 1000;
}

} // namespace tenantmig
