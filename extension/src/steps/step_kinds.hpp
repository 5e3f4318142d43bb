// The makers of steps, one for each kind; make_step() of step.hpp chooses.
#pragma once
#include "steps/step.hpp"

namespace tenantmig {

std::unique_ptr<Step> make_sql_step(const core::SqlStep &step);
std::unique_ptr<Step> make_add_column_step(const core::AddColumnStep &step);
std::unique_ptr<Step> make_drop_column_step(const core::DropColumnStep &step);
std::unique_ptr<Step> make_index_step(const core::IndexStep &step);
std::unique_ptr<Step> make_rekey_step(const core::RekeyStep &step);
// `spec`: all steps; they say which column is whose tenant key.
std::unique_ptr<Step> make_isolate_step(const core::Spec &spec, const core::IsolateStep &step);

} // namespace tenantmig
