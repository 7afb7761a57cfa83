/* data_folder.c -- folders of pictures: a folder a class.
 *
 *     folder("photos/", size = 224x224)      photos/cat/1.jpg, photos/dog/7.png ...
 *                                            photos/train/cat/..., photos/test/cat/... when both are there
 *
 * Classes are numbered by their names, sorted bytewise; so are the files of a class. What begins with a dot is passed
 * over, and so is what does not end in .png, .jpg or .jpeg; folders within a class are looked through. A folder of
 * pictures alone, or one picture, has no labels: new samples, to predict.
 *
 * Here the files are only listed; pictures.h says what becomes of them. */
#include "data_reader.h"
#include "pictures.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* There in programs that are linked with libnn_images.a. */
#pragma weak nn_picture_read
#pragma weak nn_picture_size

enum {
    MOST_DEPTH = 16,       /* of folders; also the end of links that go in circles */
    MOST_FILES = 1 << 28,
};

/* Strings that grow in number. */
typedef struct Names {
    char **at;
    int64_t n, room;
} Names;

typedef struct Listing {
    Names files;
    int32_t *classes;      /* of each file; NULL: there are none */
    int64_t own_test;
    Names class_names;
} Listing;

/* --- names --- */

static bool names_add(Names *names, const char *directory, const char *name, Fault *f)
{
    size_t length = directory ? strlen(directory) : 0, n = length + strlen(name) + 2;
    const char *slash = length > 0 && directory[length - 1] != '/' ? "/" : "";
    char *s;

    if (names->n == names->room) {
        int64_t room = names->room ? 2 * names->room : 64;
        char **more = room <= MOST_FILES ? realloc(names->at, (size_t)room * sizeof *more) : NULL;

        if (more == NULL)
            return nn_fail_memory(f, "names of files", (size_t)room * sizeof *more);
        names->at = more;
        names->room = room;
    }
    s = malloc(n);
    if (s == NULL)
        return nn_fail_memory(f, name, n);
    snprintf(s, n, "%s%s%s", directory ? directory : "", slash, name);
    names->at[names->n++] = s;
    return true;
}

static void names_free(Names *names)
{
    for (int64_t i = 0; i < names->n; i++)
        free(names->at[i]);
    free(names->at);
    *names = (Names){0};
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void names_sort(Names *names, int64_t first)
{
    if (names->n > first)
        qsort(names->at + first, (size_t)(names->n - first), sizeof *names->at, by_bytes);
}

/* --- folders --- */

static bool is_picture(const char *name)
{
    static const char *const ends[] = {".png", ".jpg", ".jpeg"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; i < sizeof ends / sizeof *ends && dot != NULL; i++)
        if (strcasecmp(dot, ends[i]) == 0)
            return true;
    return false;
}

/* The folders and the pictures in a folder, each sorted; either may be NULL. */
static bool list(const char *path, Names *folders, Names *pictures, Fault *f)
{
    DIR *d = opendir(path);
    int64_t first = pictures ? pictures->n : 0;
    struct dirent *e;

    if (d == NULL)
        return nn_fail(f, EXIT_FILE, "cannot open the folder %s: %s", path, strerror(errno));
    while (f->status == 0 && (e = readdir(d)) != NULL) {
        char *whole;

        if (e->d_name[0] == '.')
            continue;
        if (is_picture(e->d_name) && e->d_type != DT_DIR) {
            if (pictures != NULL)
                names_add(pictures, path, e->d_name, f);
            continue;
        }
        if (folders == NULL || (e->d_type != DT_DIR && e->d_type != DT_LNK && e->d_type != DT_UNKNOWN))
            continue;
        if (names_add(folders, path, e->d_name, f)) {
            whole = folders->at[folders->n - 1];
            if (!nn_folder_exists(whole)) {
                free(whole);
                folders->n--;
            }
        }
    }
    closedir(d);
    if (folders != NULL)
        names_sort(folders, 0);
    if (pictures != NULL)
        names_sort(pictures, first);
    return f->status == 0;
}

/* All pictures below a folder. */
static bool walk(const char *path, int depth, Names *pictures, Fault *f)
{
    Names folders = {0};
    bool fine = depth <= MOST_DEPTH || nn_fail(f, EXIT_FILE, "%s: folders lie more than %d deep in each other", path, MOST_DEPTH);

    fine = fine && list(path, &folders, pictures, f);
    for (int64_t i = 0; i < folders.n && fine; i++)
        fine = walk(folders.at[i], depth + 1, pictures, f);
    names_free(&folders);
    return fine;
}

/* --- classes --- */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int64_t class_find(const Listing *p, const char *name)
{
    char *const key = (char *)name;
    char **found = p->class_names.n > 0
                       ? bsearch(&key, p->class_names.at, (size_t)p->class_names.n, sizeof *p->class_names.at, by_bytes) : NULL;

    return found ? found - p->class_names.at : -1;
}

/* The pictures of a folder of classes, which the first one of them names. */
static bool add_classes(const char *path, const Names *folders, bool naming, Listing *p, Fault *f)
{
    for (int64_t i = 0; i < folders->n && naming; i++)
        if (!names_add(&p->class_names, NULL, last_part(folders->at[i]), f))
            return false;
    for (int64_t i = 0; i < folders->n; i++) {
        int64_t before = p->files.n, class = class_find(p, last_part(folders->at[i]));
        int32_t *classes;

        if (class < 0)
            return nn_fail(f, EXIT_FILE, "%s: there is no class '%s' to train on", path, last_part(folders->at[i]));
        if (!walk(folders->at[i], 0, &p->files, f))
            return false;
        if (p->files.n == before && naming)
            return nn_fail(f, EXIT_FILE, "%s holds no PNG or JPEG pictures", folders->at[i]);
        classes = realloc(p->classes, (size_t)(p->files.n + 1) * sizeof *classes);
        if (classes == NULL)
            return nn_fail_memory(f, "the classes", (size_t)p->files.n * sizeof *classes);
        p->classes = classes;
        while (before < p->files.n)
            classes[before++] = (int32_t)class;
    }
    return true;
}

static bool add_split(const char *path, bool naming, Listing *p, Fault *f)
{
    Names folders = {0}, loose = {0};
    bool fine = list(path, &folders, &loose, f);

    if (fine && folders.n == 0)
        fine = nn_fail(f, EXIT_FILE, loose.n > 0 ? "%s holds pictures, but no folders: each class should be a folder of pictures"
                                                 : "%s holds no folders: each class should be a folder of PNG or JPEG pictures", path);
    if (fine && loose.n > 0)
        fine = nn_fail(f, EXIT_FILE, "%s belongs to no class: it lies beside the folders of the classes", loose.at[0]);
    fine = fine && add_classes(path, &folders, naming, p, f);
    names_free(&folders);
    names_free(&loose);
    return fine;
}

/* Folders that are usual names of splits. */
static bool has(const Names *folders, const char *name)
{
    for (int64_t i = 0; i < folders->n; i++)
        if (strcmp(last_part(folders->at[i]), name) == 0)
            return true;
    return false;
}

static bool look(const char *path, Listing *p, Fault *f)
{
    static const char *const others[] = {"val", "valid", "validation"};
    char part[2][PATH_MAX];
    Names folders = {0}, loose = {0};
    bool splits, fine;

    if (!nn_folder_exists(path))
        return names_add(&p->files, NULL, path, f);
    fine = list(path, &folders, &loose, f);
    splits = fine && has(&folders, "train") && has(&folders, "test");
    for (size_t i = 0; i < sizeof others / sizeof *others && fine; i++)
        if (has(&folders, "train") && has(&folders, others[i]))
            fine = nn_fail(f, EXIT_FILE, "%s has the folders train and %s: pictures to validate with are cut from those to train "
                           "with by valid = 10%%; rename %s to test, or move it away", path, others[i], others[i]);
    for (int i = 0; i < 2 && fine; i++)
        if (snprintf(part[i], PATH_MAX, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", i ? "test" : "train") >= PATH_MAX)
            fine = nn_fail(f, EXIT_FILE, "%.100s...: the path is too long", path);
    if (fine && splits) {
        fine = add_split(part[0], true, p, f);
        p->own_test = -p->files.n;
        fine = fine && add_split(part[1], false, p, f);
        p->own_test += p->files.n;
        if (fine && p->own_test == 0)
            fine = nn_fail(f, EXIT_FILE, "%s holds no PNG or JPEG pictures", part[1]);
    } else if (fine && folders.n == 0 && loose.n > 0) {
        p->files = loose;
        loose = (Names){0};
    } else if (fine) {
        fine = add_split(path, true, p, f);
    }
    names_free(&folders);
    names_free(&loose);
    return fine;
}

/* --- the call --- */

static bool side(const Call *call, double x, int *to, Fault *f)
{
    if (!(x >= 1 && x <= NN_MAX_SIDE) || x != floor(x))
        return nn_fail(f, EXIT_USAGE, "%s: size should be of whole numbers from 1 to %d, as in 224x224", call->reader, NN_MAX_SIDE);
    *to = (int)x;
    return true;
}

/* size = 224, 224x224 or 3x224x224; channels = 1 or 3. */
static bool size_of_call(const Call *call, PictureSize *size, Fault *f)
{
    const nn_value *v = call->setting[1];
    double channels;

    *size = (PictureSize){0};
    if (!nn_call_number(call, 2, "channels", 0, &channels, f))
        return false;
    if (v != NULL && v->kind == NN_NUMBER) {
        if (!side(call, v->number, &size->height, f))
            return false;
        size->width = size->height;
    } else if (v != NULL) {
        if (v->kind != NN_LIST || v->n < 2 || v->n > 3)
            return nn_fail(f, EXIT_USAGE, "%s: size should be HEIGHTxWIDTH, as in 224x224", call->reader);
        if (!side(call, v->parts[v->n - 2].number, &size->height, f) || !side(call, v->parts[v->n - 1].number, &size->width, f))
            return false;
        if (v->n == 3 && channels == 0)
            channels = v->parts[0].number;
        if (v->n == 3 && v->parts[0].number != channels)
            return nn_fail(f, EXIT_USAGE, "%s: size and channels contradict each other", call->reader);
    }
    if (channels != 0 && channels != 1 && channels != 3)
        return nn_fail(f, EXIT_USAGE, "%s: pictures have 1 channel (grey) or 3 (red, green, blue), not %g", call->reader, channels);
    size->channels = channels == 0 ? 3 : (int)channels;
    return true;
}

/* The listing's files become the data's. */
static bool put_columns(Listing *l, const PictureSize *size, Data *data, Fault *f)
{
    Pictures *pictures = nn_pictures_open(l->files.at, l->files.n, *size, f);
    Column *label;

    data->n = l->files.n;
    data->own_test = l->own_test;
    l->files = (Names){0};
    if (pictures == NULL)
        return false;
    if (nn_column_add(data, "image", &(Column){.type = DATA_U8, .rank = 3, .pictures = pictures,
                      .shape = {pictures->size.channels, pictures->size.height, pictures->size.width}}, data->n, f) == NULL) {
        nn_pictures_free(pictures);
        return false;
    }
    data->files = pictures->paths;
    if (l->classes == NULL)
        return true;
    label = nn_column_add(data, "label", &(Column){.type = DATA_I32, .classes = (int)l->class_names.n}, data->n, f);
    if (label == NULL)
        return false;
    memcpy(label->data, l->classes, (size_t)data->n * sizeof *l->classes);
    return nn_column_name_classes(label, (const char *const *)l->class_names.at, f);
}

bool nn_read_folder(const Call *call, Data *data, Fault *f)
{
    Listing listing = {0};
    PictureSize size;
    const char *path;
    bool fine;

    if (nn_picture_read == NULL || nn_picture_size == NULL)
        return nn_fail(f, EXIT_USAGE, "%s: this program was linked without the readers of PNG and JPEG, libnn_images.a", call->reader);
    if (!nn_call_text(call, 0, "path", NULL, &path, f) || !size_of_call(call, &size, f))
        return false;
    data->origin = nn_call_find(call, 0, path, f);
    fine = data->origin != NULL && look(data->origin, &listing, f) && put_columns(&listing, &size, data, f);
    names_free(&listing.files);
    names_free(&listing.class_names);
    free(listing.classes);
    return fine;
}
