#include "protocol/channel.h"

namespace valkyrie::protocol {

std::string_view to_string(ChannelError error) {
  switch (error) {
    case ChannelError::none:
      return "none";
    case ChannelError::bad_preamble:
      return "bad_preamble";
    case ChannelError::no_common_suite:
      return "no_common_suite";
    case ChannelError::pq_required:
      return "pq_required";
    case ChannelError::other_suite:
      return "other_suite";
    case ChannelError::bad_length:
      return "bad_length";
    case ChannelError::not_authentic:
      return "not_authentic";
    case ChannelError::bad_key:
      return "bad_key";
    case ChannelError::used_up:
      return "used_up";
    case ChannelError::untrusted:
      return "untrusted";
    case ChannelError::expired:
      return "expired";
    case ChannelError::not_yet_valid:
      return "not_yet_valid";
    case ChannelError::wrong_name:
      return "wrong_name";
    case ChannelError::revoked:
      return "revoked";
    case ChannelError::revocation_unknown:
      return "revocation_unknown";
    case ChannelError::wrong_purpose:
      return "wrong_purpose";
    case ChannelError::no_certificate:
      return "no_certificate";
    case ChannelError::other_protocol:
      return "other_protocol";
    case ChannelError::handshake_failed:
      return "handshake_failed";
  }
  return "unknown";
}

}  // namespace valkyrie::protocol
