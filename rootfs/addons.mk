# Node's addons as the image has them: built from the root of the sources by the image's own suite (toolchain.ts), and
# as their binding.gyp builds them on a machine. NODE is the directory of the Node package.
CXX := g++
FLAGS := -fPIC -pthread -O2 -std=gnu++17 -fvisibility=hidden -DNAPI_VERSION=9 -DNAPI_CPP_EXCEPTIONS \
  -DNODE_ADDON_API_DISABLE_DEPRECATED -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
  -isystem node_modules/node-addon-api -isystem $(NODE)/include/node
LINK := -shared -s -pthread -Wl,-z,relro,-z,now -Wl,--build-id=none
hvsock := $(sort $(wildcard native/hvsock/src/*.cc))

built/hvsock.node: $(hvsock:.cc=.o)
native/%.o: FLAGS += -Wall -Wextra -Werror -DNODE_GYP_MODULE_NAME=hvsock

built/%.node:
	mkdir -p built
	$(CXX) $(LINK) -o $@ $^
%.o: %.cc
	$(CXX) $(FLAGS) -c -o $@ $<
