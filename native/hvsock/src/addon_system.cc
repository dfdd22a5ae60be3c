#include <sys/prctl.h>

#include "addon.h"
#include "job_threads.h"
#include "relay_engine.h"

namespace hvsock {
namespace {

using Info = Napi::CallbackInfo;

// becomeSubreaper()
Napi::Value BecomeSubreaper(const Info& info) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1) ThrowErrno("prctl");
  return info.Env().Undefined();
}

// startThreads()
Napi::Value StartThreads(const Info& info) {
  JobThreads::Get().Start();
  RelayEngine::Get();
  return info.Env().Undefined();
}

}  // namespace

void ExportSystem(Napi::Env, Napi::Object exports) {
  Export<BecomeSubreaper>(exports, "becomeSubreaper");
  Export<StartThreads>(exports, "startThreads");
}

}  // namespace hvsock
