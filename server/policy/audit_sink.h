// Where the parts of a node put what is worth remembering.
#pragma once

#include "server/policy/audit_chain.h"

namespace valkyrie::policy {

// Takes records and puts the time to them.
class AuditSink {
 public:
  // Writes a record down. False if that failed and is a reason to refuse what it is about. Any
  // thread.
  [[nodiscard]] virtual bool write(const AuditRecord& record) = 0;

 protected:
  ~AuditSink() = default;
};

}  // namespace valkyrie::policy
