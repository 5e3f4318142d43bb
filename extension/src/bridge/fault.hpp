// Named fault points, for tests. TENANTMIG_FAULT("walk_batch_open") in C++ code (never inside pg_call, never in a
// header) is nothing at all in the product; in the module that build.mk makes with -DTENANTMIG_FAULTS
// (tests/faults/tenantmig.so, never installed) it does what the file tenantmig_faults in the data directory says, one
// line a point:
//
//   POINT ACTION [ARGUMENT] [hit=N] [percent=P]
//
//   error [SQLSTATE]    an Error as our own code throws it (TM900)
//   ereport [SQLSTATE]  the same, reported by PostgreSQL (TM900)
//   exit                the process ends in order, as after pg_terminate_backend()
//   crash               kill -9 of the process itself
//   sleep MS            can be interrupted
//   wait                until nobody holds pg_advisory_lock(7361, hashtext('POINT')): isolationtester sees that as
//   waiting
//
// hit=N: only the Nth time that this process comes by since the file was written; percent=P: by chance. While a process
// sleeps or waits at a point, a file tenantmig_fault.PID in the data directory holds the point's name: left over, it
// tells where a killed process was.
//

// TENANTMIG_FAULT_CLOCK(time) moves a TimestampTz by the seconds in the file tenantmig_clock; see bridge/clock.hpp.
#pragma once
#include <cstdint>

#ifdef TENANTMIG_FAULTS
namespace tenantmig {
void fault_point(const char *name);
std::int64_t fault_clock(); // microseconds
} // namespace tenantmig
#define TENANTMIG_FAULT(name) tenantmig::fault_point(name)
#define TENANTMIG_FAULT_CLOCK(time) (time) += tenantmig::fault_clock()
#else
#define TENANTMIG_FAULT(name) static_cast<void>(0)
#define TENANTMIG_FAULT_CLOCK(time) static_cast<void>(0)
#endif
