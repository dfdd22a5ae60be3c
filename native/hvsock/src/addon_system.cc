#include <sys/prctl.h>

#include "addon.h"

namespace hvsock {
namespace {

using Info = Napi::CallbackInfo;

Napi::Value BecomeSubreaper(const Info& info) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1) ThrowErrno("prctl");
  return info.Env().Undefined();
}

}  // namespace

void ExportSystem(Napi::Env, Napi::Object exports) { Export<BecomeSubreaper>(exports, "becomeSubreaper"); }

}  // namespace hvsock
