#!/bin/sh
# Names each missing tool and the command that installs it. Arguments: any of python, java, mvn. PYTHON: which Python.
missing=0

lacks() {
    echo "$1 is missing. Debian: apt-get install $2; macOS: brew install $3" >&2
    missing=1
}

for tool in "$@"; do
    case $tool in
    python)
        "${PYTHON:-python3}" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
            lacks "Python 3.11 or newer with venv (asked for: ${PYTHON:-python3}; another: make PYTHON=...)" \
                "python3 python3-venv" python
        ;;
    java)
        java=${JAVA_HOME:+$JAVA_HOME/bin/}java
        version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
        [ "${version:-0}" -ge 17 ] || lacks "Java 17 or newer" openjdk-17-jdk-headless openjdk
        ;;
    mvn)
        command -v mvn >/dev/null || lacks "Maven, which fetches Kafka's jars," maven maven
        ;;
    esac
done
exit $missing
