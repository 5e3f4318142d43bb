// What functions of event triggers need on top of bridge/pg.hpp.
#pragma once
#include "bridge/boundary.hpp"

extern "C" {
#include "access/parallel.h"
#include "catalog/pg_event_trigger.h"
#include "commands/event_trigger.h"
#include "nodes/parsenodes.h"
}
