// Where the log of an attempt is: a folder and two names, made of its id. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/jobs/log_store.h"

namespace valkyrie::log_store {

// The last two digits of the job's id, which are random: 1,024 folders fill evenly.
[[nodiscard]] std::string folder_of(const jobs::LogId& log);
// `job_01….2.log` for the bytes.
[[nodiscard]] std::string data_name(const jobs::LogId& log);
// `job_01….2.index` for streams and times.
[[nodiscard]] std::string index_name(const jobs::LogId& log);
// The log that data_name() says this of; nullopt for any other name.
[[nodiscard]] std::optional<jobs::LogId> log_of_data_name(std::string_view name);
// `job_01…/2`, for people.
[[nodiscard]] std::string text_of(const jobs::LogId& log);

}  // namespace valkyrie::log_store
