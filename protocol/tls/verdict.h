// BoringSSL's reasons as errors of channels.
// Private to this folder.
#pragma once

#include "protocol/channel.h"

namespace valkyrie::protocol::tls {

// Why a certificate is refused; `result` is one of X509_V_ERR_*.
[[nodiscard]] ChannelError error_of_certificate(int result);

// What ended a connection; `reason` is one of SSL_R_*, or 0 for none. Neither pq_required nor what
// is wrong with a certificate can be told from it.
[[nodiscard]] ChannelError error_of_connection(int reason);

}  // namespace valkyrie::protocol::tls
