// What a store has when a node starts. Private to this folder.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "server/job_store/database.h"
#include "server/job_store/sqlite_job_store.h"
#include "server/job_store/store_directory.h"

namespace valkyrie::job_store {

// Reads all jobs that are not over, the latest that are, and what else the plane begins with.
// Errors, for people: a row that cannot be read is named, never left out.
[[nodiscard]] std::expected<jobs::StoredJobs, std::string> restore(Database& live,
                                                                   const StoreDirectory& directory,
                                                                   const StoreOptions& options);

}  // namespace valkyrie::job_store
