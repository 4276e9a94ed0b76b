// Everything of the Valkyrie SDK.
#pragma once

#include "valkyrie/bytes.h"   // IWYU pragma: export
#include "valkyrie/client.h"  // IWYU pragma: export
#include "valkyrie/incoming_call.h"
#include "valkyrie/loop.h"          // IWYU pragma: export
#include "valkyrie/metadata.h"      // IWYU pragma: export
#include "valkyrie/options.h"       // IWYU pragma: export
#include "valkyrie/pending.h"       // IWYU pragma: export
#include "valkyrie/service.h"       // IWYU pragma: export
#include "valkyrie/status.h"        // IWYU pragma: export
#include "valkyrie/stream.h"        // IWYU pragma: export
#include "valkyrie/subscription.h"  // IWYU pragma: export
#include "valkyrie/task.h"          // IWYU pragma: export
