// SQLSTATEs of the gate and of what is applied through it.
#pragma once

namespace tenantmig::core::sqlstate {
inline constexpr char gate_closed[] = "TM013";         // a criterion of the gate does not hold
inline constexpr char constraint_violated[] = "TM014"; // rows that a constraint would refuse came in after the gate
} // namespace tenantmig::core::sqlstate
