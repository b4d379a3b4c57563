// Uses the filesystem the way C programs do, and says what it saw.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void list(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.') printf("%s/%s%s\n", path, entry->d_name, entry->d_type == DT_DIR ? "/" : "");
    closedir(directory);
}

static void attempt(const char *what, int result) {
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
}

int main(int argc, char **argv) {
    printf("argc %d, argv[1] %s, NAME %s\n", argc, argv[1], getenv("NAME"));
    char line[64] = "";
    fgets(line, sizeof line, stdin);
    printf("stdin: %s\n", line);
    list("/in");
    list("/in/meshes");

    FILE *input = fopen("/in/meshes/cube.obj", "r");
    fgets(line, sizeof line, input);
    fseek(input, 2, SEEK_SET);
    printf("input: %s, third byte %c\n", line, fgetc(input));
    fclose(input);

    attempt("mkdir", mkdir("/out/frames", 0777));
    FILE *output = fopen("/out/frames/1.txt", "w+");
    for (int number = 0; number < 1000; number++) fprintf(output, "%d\n", number);
    fseek(output, 0, SEEK_SET);
    fgets(line, sizeof line, output);
    fclose(output);
    output = fopen("/out/frames/1.txt", "a");
    fprintf(output, "the end\n");
    fclose(output);
    struct stat status;
    attempt("stat", stat("/out/frames/1.txt", &status));
    printf("size %lld, time %lld\n", (long long)status.st_size, (long long)status.st_mtime);
    attempt("rename", rename("/out/frames/1.txt", "/out/frames/renamed.txt"));
    attempt("rename a directory into itself", rename("/out/frames", "/out/frames/inner"));
    attempt("rmdir of a full directory", rmdir("/out/frames"));
    attempt("mkdir", mkdir("/out/empty", 0777));
    attempt("rmdir", rmdir("/out/empty"));
    int hole = open("/out/hole", O_RDWR | O_CREAT | O_EXCL, 0666);
    attempt("pwrite", pwrite(hole, "x", 1, 100));
    attempt("ftruncate", ftruncate(hole, 50));
    attempt("pread", pread(hole, line, 10, 40));
    attempt("unlink", unlink("/out/hole"));
    close(hole);
    attempt("write below /in", open("/in/new", O_WRONLY | O_CREAT, 0666));
    attempt("write to an input", open("/in/apple", O_WRONLY));
    attempt("open ../", open("/out/../../etc/passwd", O_RDONLY));
    attempt("open a host file", open("/etc/passwd", O_RDONLY));
    attempt("symlink", symlink("/etc/passwd", "/out/link"));
    list("/out");

    struct timespec before, after, pause = {3600, 0};
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("slept %lld s\n", (long long)(after.tv_sec - before.tv_sec));
    return 7;
}
