// PostgreSQL's headers about names and bytes, which few files need: apart from bridge/pg.hpp, so that not everything is
// compiled again for them.
#pragma once
#include "bridge/pg.hpp"

extern "C" {
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "utils/regproc.h"
#include "utils/varlena.h"
}
