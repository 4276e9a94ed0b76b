// Ids and digests that tests of logs have in common.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto/digest.h"
#include "server/jobs/log_store.h"

namespace valkyrie::log_store::testing {

// The time tests begin at.
inline constexpr std::uint64_t kNowMs = 1'790'000'000'000;

// The log of an attempt of the job in a row.
inline jobs::LogId log_id(std::uint64_t row, std::uint32_t attempt = 1) {
  return {.job = jobs::JobId::make(kNowMs, 1, row, static_cast<std::uint16_t>(row)),
          .attempt = attempt};
}

// What pieces have, one after another.
inline std::string text_in(const std::vector<jobs::LogPiece>& pieces) {
  std::string text;
  for (const jobs::LogPiece& piece : pieces) text += piece.data;
  return text;
}

// As LogSafe has it.
inline std::array<std::uint8_t, 32> sha256_of(std::string_view text) {
  const auto digest = protocol::crypto::sha256(std::as_bytes(std::span(text)));
  std::array<std::uint8_t, 32> bytes;
  std::memcpy(bytes.data(), digest.data(), bytes.size());
  return bytes;
}

}  // namespace valkyrie::log_store::testing
